"""SAQ on Redis: retries on, finished jobs kept."""
