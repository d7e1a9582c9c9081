-- Take a worker that has left (:worker_id) off the list, unless it still holds jobs: then the rescuer
-- must see it. Locks: its row, which a claim of its on the way holds until it ends. Returns its id.
select forthwith.forget_workers(array[%(worker_id)s::bigint])
