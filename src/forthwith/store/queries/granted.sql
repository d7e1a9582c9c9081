-- The roles that were granted the right to work or, if not that, to defer: who may call what only workers
-- call, or the function that defers. Run by the migration, before it applies what is new.
select
    case when bool_or(pg_proc.proname = 'sort_lines') then 'work' else 'defer' end,
    pg_get_userbyid(acl.grantee)::text
from pg_proc
cross join lateral aclexplode(pg_proc.proacl) acl
where pg_proc.pronamespace = 'forthwith'::regnamespace
  and pg_proc.proname in ('defer', 'sort_lines')
  and acl.grantee not in (0, pg_proc.proowner)  -- 0: public
group by acl.grantee
order by 2
