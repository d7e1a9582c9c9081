-- Tell all workers on :channel that one of them may claim jobs from now on: somebody must watch it closely.
select pg_catalog.pg_notify(%(channel)s, 'workers')
