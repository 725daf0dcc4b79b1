-- Requests that a forge makes again. A branch that is set back to an earlier commit requests that commit again, whatever its webhook says
-- about its previous state. A deployment of another commit shows that the branch was elsewhere meanwhile, and each of those counts once.

create or replace function weft._request_id(p_id text, p_caller text, p_target text, p_signature jsonb)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with own as materialized (
    select d.request_id, d.mode, d.created_at, d.signature
    from weft._deployments as d
    where d.caller = p_caller and d.target = p_target and (d.request_id = p_id or starts_with(d.request_id, p_id || '-'))
    order by d.created_at desc
    limit 1
  ),
  elsewhere as (
    select e.id
    from own as o
    -- those after its own, if there is one: without statistics, a join would read all deployments
    cross join lateral (
      select d.id
      from weft._deployments as d
      where d.created_at > o.created_at and d.caller = p_caller and d.target = p_target and d.mode = o.mode
        and d.signature ->> 'repository_id' = p_signature ->> 'repository_id'
        and d.signature ->> 'ref' = p_signature ->> 'ref'
        and d.signature ->> 'commit' <> p_signature ->> 'commit'
      order by d.created_at desc
      limit 1
    ) as e
    where o.signature ->> 'confirmed_at' is distinct from p_signature ->> 'confirmed_at'  -- otherwise, it is the same request, sent again after a connection broke
  )
  select coalesce((select p_id || '-' || e.id from elsewhere as e), (select o.request_id from own as o), p_id)
$$;

comment on function weft._request_id(text, text, text, jsonb) is
  'Tells under which id a request is opened, or found: its own; if a webhook asks for a commit again after deployments of its branch at other commits, one more for each of those.';
