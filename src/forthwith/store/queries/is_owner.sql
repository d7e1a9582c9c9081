-- May this session's role act as the owner of the schema's tables?
select pg_catalog.pg_has_role(pg_class.relowner, 'usage')
from pg_catalog.pg_class where pg_class.oid OPERATOR(pg_catalog.=) 'forthwith.migration'::pg_catalog.regclass
