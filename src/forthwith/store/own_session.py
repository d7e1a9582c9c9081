"""What a session that runs nothing but our statements needs, whatever its role's settings are."""

from __future__ import annotations

from forthwith.store.own_names import OWN_NAMES

# Our statements are written for it: they skip rows that are locked, and take rows as they are once a
# lock is theirs. In a stricter level they would fail instead.
READ_COMMITTED = "set default_transaction_isolation = 'read committed';"

# A session that rests is not forgotten: it listens, or it is a worker's sign of life. Not every server
# has each of these settings.
NO_TIMEOUTS = """
    select set_config(name, '0', false) from pg_settings
    where name in ('lock_timeout', 'idle_session_timeout', 'transaction_timeout');
"""

OWN_SESSION = OWN_NAMES + READ_COMMITTED + NO_TIMEOUTS
