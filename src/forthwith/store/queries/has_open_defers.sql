-- Is a transaction open that defers? Asked by a worker that has just said that it sleeps, before it looks
-- once more: what that transaction defers it would neither see nor be notified of.
select forthwith.has_open_defers()
