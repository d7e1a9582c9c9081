"""PgQueuer, in its durable configuration, with the driver of its own benchmark."""
