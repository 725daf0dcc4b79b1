-- The rights on what an undo has dropped and made again: exactly those that existed before.

create or replace function weft._has_column(p_relation oid, p_column text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_column is null or exists (select from pg_attribute as a where a.attrelid = p_relation and a.attname = p_column and not a.attisdropped)
$$;

comment on function weft._has_column(oid, text) is 'Tells whether a column is there; true if no column is meant.';


create or replace function weft._say_rights(p_rights jsonb)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(string_agg(g.words, ', ' order by g.words), 'none')
  from (
    select format('%s: %s', r.value ->> 'grantee', string_agg(concat_ws(' ', lower((r.value ->> 'privilege') collate "C"), '(' || quote_ident(r.value ->> 'column') || ')', case when r.value @> '{"is_grantable": true}' then 'with grant option' end), ' ')) as words
    from jsonb_array_elements(p_rights) as r
    group by r.value ->> 'grantee'
  ) as g
$$;

comment on function weft._say_rights(jsonb) is 'Says who has which rights.';


create or replace function weft._advise_on_called_back()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'It is made again because something that this deployment runs has dropped it. Let its own file make what would be lost (a file that has changed runs as it is), or a repeatable file behind it; or drop it yourself before, if that may go.'
$$;

comment on function weft._advise_on_called_back() is 'Says what to do if a file that is called back cannot give back what its objects had.';


-- Restores exactly the rights that it had. An object that had only default rights keeps what its file gives it, unless the defaults have changed since.
create or replace function weft._give_rights(p_phase weft._phases, p_room jsonb, p_classid oid, p_objid oid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_rights  jsonb;
  v_now     jsonb;
  v_what    text := case p_room ->> 'kind' when 'function' then 'routine ' else 'table ' end || (p_room ->> 'name');
  v_grant   text;
begin
  if (p_room ->> 'has_default_rights')::boolean and weft._list_rights(p_classid, p_objid, true) = p_room -> 'rights' then
    return;
  end if;
  v_rights := (select coalesce(jsonb_agg(r.value order by r.value), '[]') from jsonb_array_elements(p_room -> 'rights') as r where weft._has_column(p_objid, r.value ->> 'column'));
  v_now := weft._list_rights(p_classid, p_objid);
  if v_now = v_rights then
    return;
  elsif v_now <> weft._list_rights(p_classid, p_objid, true) and not (p_room ? 'is_called_back' and v_rights @> v_now) then
    raise exception '% has to be dropped, and made again by %, which grants other rights than there were on it.', p_room ->> 'name', p_room ->> 'path'
      using errcode = 'WF073', detail = format(E'There were: %s\nThe file grants: %s', weft._say_rights(v_rights), weft._say_rights(v_now)), hint = case when p_room ? 'is_called_back' then weft._advise_on_called_back() else weft._advise_on_room() end;
  end if;
  if p_phase.role is not null then
    perform set_config('role', p_phase.role, true);
  end if;
  for v_grant in
    select g.statement
    from (
      select distinct 0 as place, format('revoke all on %s from %s', v_what, r.value ->> 'grantee') as statement from jsonb_array_elements(v_now) as r
      union all
      select 1, format('grant %s (%s) on %s to %s%s', r.value ->> 'privilege', quote_ident(r.value ->> 'column'), v_what, r.value ->> 'grantee', case when r.value @> '{"is_grantable": true}' then ' with grant option' end)
      from jsonb_array_elements(v_rights) as r where r.value ? 'column'
      union all
      select 1, format('grant %s on %s to %s%s', r.value ->> 'privilege', v_what, r.value ->> 'grantee', case when r.value @> '{"is_grantable": true}' then ' with grant option' end)
      from jsonb_array_elements(v_rights) as r where not r.value ? 'column'
    ) as g
    order by g.place, g.statement
  loop
    execute v_grant;
  end loop;
  reset role;
  v_now := weft._list_rights(p_classid, p_objid);
  if v_now <> v_rights then
    raise exception '% was made again, and could not be given the rights that were on it.', p_room ->> 'name'
      using errcode = 'WF073', detail = format(E'There were: %s\nThere would be: %s', weft._say_rights(v_rights), weft._say_rights(v_now)), hint = case when p_room ? 'is_called_back' then weft._advise_on_called_back() else weft._advise_on_room() end;
  end if;
end
$$;

comment on function weft._give_rights(weft._phases, jsonb, oid, oid) is 'Gives an object that was dropped and made again the rights that it had, or raises why it cannot have them.';
