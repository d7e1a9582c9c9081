-- Take the tick :defer_timestamp of a periodic task (:task, :periodic_id). Returns a row if it is ours.
insert into forthwith.periodic_defer (task, periodic_id, defer_timestamp)
values (%(task)s, %(periodic_id)s, %(defer_timestamp)s)
on conflict do nothing
returning defer_timestamp
