"""streaQ on Redis: results kept."""
