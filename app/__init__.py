"""A durable webhook relay: the reference application of forthwith.

Read it in this order: `tasks` (what is done), `events` (what is accepted), `main` (the HTTP
service). `receiver` and `demo` show it at work.
"""
