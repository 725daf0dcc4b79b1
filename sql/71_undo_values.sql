-- The parameters of an undo. An undo file has the values that its file had, as far as they are known: plain values are kept, secrets
-- are given again, and may have changed. An undo file that came later, to correct an earlier one, also has what is new in the
-- deployment that brought it.

-- For undo files that came with p_others: if both know a name, the deployment that has run counts.
create or replace function weft._merge_values(p_undone uuid, p_others uuid[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce((
      select jsonb_object_agg(p.name, p.value order by d.place)
      from weft._parameters as p join weft._deployments as d on d.id = p.deployment_id
      where p.deployment_id = any (p_others) and not p.is_secret
        and not exists (select from weft._parameters as o where o.deployment_id = p_undone and o.name = p.name)), '{}')
    || weft._list_values(p_undone)
$$;

comment on function weft._merge_values(uuid, uuid[]) is 'Lists the plain values of a deployment by name, plus those of other deployments that it does not know; if several have one, the one that was opened last counts.';


-- A secret that was not given stays out of an undo, so that a file that names it fails: with an empty value it would do something else.
create or replace function weft._list_secrets_of(p_undone uuid, p_others uuid[])
  returns table (name text, type text, is_needed boolean, declared_by uuid)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p.name, p.type, p.is_given, p.deployment_id from weft._parameters as p where p.deployment_id = p_undone and p.is_secret
  union all
  select distinct on (p.name) p.name, p.type, true, p.deployment_id
  from weft._parameters as p join weft._deployments as d on d.id = p.deployment_id
  where p.deployment_id = any (p_others) and p.is_secret and not exists (select from weft._parameters as o where o.deployment_id = p_undone and o.name = p.name)
  order by 1
$$;

comment on function weft._list_secrets_of(uuid, uuid[]) is 'Lists the secrets that an undo can be given: those of the deployment that it takes back, and of those with which undo files came later. is_needed: whether a file names it.';


-- Values of a step that replace those of its deployment.
create or replace function weft._values_of_step(p_deployment uuid, p_step integer, p_values jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when s.options ? 'values' then s.options -> 'values' || (
      select coalesce(jsonb_object_agg(p.name, p_values -> p.name), '{}') from weft._parameters as p where p.deployment_id = p_deployment and p.is_secret)
    else p_values end
  from weft._steps as s
  where s.deployment_id = p_deployment and s.ordinal = p_step
$$;

comment on function weft._values_of_step(uuid, integer, jsonb) is 'Tells the parameter values of a step: those of its deployment, or its own plus the deployment''s secrets.';


create or replace function weft._inherit_parameters(p_deployment uuid, p_from uuid, p_others uuid[], p_secrets jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  insert into weft._parameters (deployment_id, name, type, is_secret, is_given, digest, value)
  select p_deployment, p.name, p.type, p.is_secret, p.is_given, null::bytea, p.value
  from weft._parameters as p
  where p.deployment_id = p_from and not p.is_secret
  union all
  select p_deployment, p.name, p.type, false, p.is_given, null::bytea, p.value
  from (
    select distinct on (o.name) o.*
    from weft._parameters as o join weft._deployments as d on d.id = o.deployment_id
    where o.deployment_id = any (p_others) and not exists (select from weft._parameters as u where u.deployment_id = p_from and u.name = o.name)
    order by o.name, d.place desc
  ) as p
  where not p.is_secret and not exists (select from weft._list_secrets_of(p_from, p_others) as s where s.name = p.name)
  union all
  select p_deployment, s.name, s.type, true, p_secrets ? s.name, decode(p_secrets ->> s.name, 'hex'), null
  from weft._list_secrets_of(p_from, p_others) as s
  where not s.is_needed or p_secrets ? s.name
$$;

comment on function weft._inherit_parameters(uuid, uuid, uuid[], jsonb) is
  'Gives an undo the plain parameters of the deployment that it takes back and of those with which undo files came later, and the secrets that the undo was given itself, by name and digest.';


-- Before an undo is opened: the secrets that it is given must be ones that it can have, with valid values, and no secret that its files name may be missing.
create or replace function weft._check_secrets_of_undo(p_undone uuid, p_others uuid[], p_secrets jsonb, p_needed jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_names   text := (select string_agg(s.name, ', ' order by s.name) from weft._list_secrets_of(p_undone, p_others) as s);
  v_values  jsonb := weft._peek_secrets();
  v_lacking jsonb;
  v_one     record;
begin
  for v_one in select k.name, s.type from jsonb_object_keys(p_secrets) as k (name) left join weft._list_secrets_of(p_undone, p_others) as s on s.name = k.name order by 1 loop
    if v_one.type is null then
      raise exception 'Deployment % has no secret parameter "%".', p_undone, v_one.name
        using errcode = 'WF040', hint = coalesce('It has: ' || v_names || '.', 'It has none.') || ' Nothing was undone. Its other parameters an undo has as they were.';
    end if;
    perform weft._accept_value(v_one.name, v_one.type, v_values ->> v_one.name, true);
  end loop;
  v_lacking := (select jsonb_agg(n.value order by n.ordinality) from jsonb_array_elements(p_needed) with ordinality as n where not p_secrets ? (n.value ->> 'name'));
  if v_lacking is not null then
    raise exception 'The undo of deployment % lacks the secret %.', p_undone, (
        select string_agg(format('"%s", which is named in %s', l.value ->> 'name', (select string_agg(p.path, ', ') from jsonb_array_elements_text(l.value -> 'paths') as p (path))), ' and ' order by l.ordinality)
        from jsonb_array_elements(v_lacking) with ordinality as l)
      using errcode = 'WF075', hint = format('Secrets are kept nowhere, so give it again: weft undo %s --set %s=@FILE. Nothing was undone.', p_undone, v_lacking -> 0 ->> 'name');
  end if;
end
$$;

comment on function weft._check_secrets_of_undo(uuid, uuid[], jsonb, jsonb) is 'Refuses secrets that an undo cannot have, and an undo whose files name secrets that it is not given.';


create or replace function weft._add_hint_of_secrets(p_deployment uuid, p_error jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when k.names is null or p_error ->> 'path' is null then p_error
    else p_error || jsonb_build_object('hint', concat_ws(' ', p_error ->> 'hint', format(
      'The deployment that is undone was given secrets that this undo was not (%s): a file that names one needs it again.', k.names))) end
  from (
    select string_agg(p.name, ', ' order by p.name) as names
    from weft._deployments as d join weft._parameters as p on p.deployment_id = d.undoes and p.is_secret and p.is_given
    where d.id = p_deployment and not exists (select from weft._parameters as o where o.deployment_id = d.id and o.name = p.name)
  ) as k
$$;

comment on function weft._add_hint_of_secrets(uuid, jsonb) is 'Adds to the error of an undo that failed which secrets it was not given.';
