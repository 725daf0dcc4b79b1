-- Writes what many kinds of objects have in common in one wording: rights, options, owners. Turns texts into bytes, for hashes and answers.

create or replace function weft._describe_rights(p_rights aclitem[], p_kind "char", p_owner oid)
  returns text
  stable strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'rights: ' || coalesce(string_agg(format('%s %s%s', g.grantee, g.privileges, g.grantor), '; ' order by g.grantee collate "C", g.grantor collate "C"), 'none')
  from (
    select case x.grantee when 0 then 'public' when p_owner then 'its owner' else quote_ident(pg_get_userbyid(x.grantee)) end as grantee,
           case when x.grantor <> p_owner then ' by ' || quote_ident(pg_get_userbyid(x.grantor)) else '' end as grantor,
           string_agg(lower(x.privilege_type collate "C") || case when x.is_grantable then ' with grant option' else '' end, ', ' order by x.privilege_type collate "C") as privileges
    from aclexplode(p_rights) as x
    group by 1, 2
  ) as g
  -- default rights are not written, however they came about
  having not (p_rights <@ acldefault(p_kind, p_owner) and acldefault(p_kind, p_owner) <@ p_rights)
$$;

comment on function weft._describe_rights(aclitem[], "char", oid) is
  'Writes an access list in words and in one order; null if it is what such an object has by default.';


create or replace function weft._describe_options(p_options text[])
  returns text
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'with ' || string_agg(o, ', ' order by o collate "C") from unnest(p_options) as o
$$;

comment on function weft._describe_options(text[]) is 'Writes options in one order, whatever order they were set in.';


-- Possible passwords are named, but not shown: snapshots are kept, and whoever may see a deployment reads them.
create or replace function weft._describe_foreign_options(p_options text[])
  returns text
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'options ' || string_agg(
           case when lower(split_part(o, '=', 1) collate "C") ~ 'pass|secret|key|token|cred|auth|user|conn|url|uri|header' then split_part(o, '=', 1) || ' (not shown)' else o end,
           ', ' order by o collate "C")
  from unnest(p_options) as o
$$;

comment on function weft._describe_foreign_options(text[]) is 'Writes options of a foreign object in one order, and only the names of those that may contain a secret.';


create or replace function weft._describe_firing(p_enabled "char")
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_enabled when 'D' then 'disabled' when 'R' then 'enabled for a replica' when 'A' then 'enabled always' end
$$;

comment on function weft._describe_firing("char") is 'Says when a trigger or a rule fires; null if it fires in the default way.';


create or replace function weft._escape_marks(p_text text)
  returns text
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select replace(replace(p_text, E'\x1e', '\x1e'), E'\x1f', '\x1f')
$$;

comment on function weft._escape_marks(text) is 'Escapes the characters that separate objects, so that they can be read.';


-- A database in SQL_ASCII holds bytes of any encoding, and clients that want UTF8 must not get bytes that are not UTF8. ASCII, and bytes
-- that happen to be UTF8, look as in any other database.
create or replace function weft._to_bytes(p_text text)
  returns bytea
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select convert_to(p_text, case getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)
$$;

comment on function weft._to_bytes(text) is 'Writes a text as bytes: in UTF8, or unchanged if the database has no encoding.';


create or replace function weft._as_utf8(p_text text)
  returns text
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if getdatabaseencoding() = 'UTF8' then
    return p_text;  -- all text there is valid UTF8, and checking would cost as much as copying
  end if;
  perform convert_to(p_text, 'UTF8');
  return p_text;
exception when character_not_in_repertoire then
  return regexp_replace(p_text, '[^\x01-\x7f]', '?', 'g');
end
$$;

comment on function weft._as_utf8(text) is 'Returns a text unchanged if it is UTF8, which it is in every database with an encoding; otherwise with a question mark for each byte that is not ASCII.';


create or replace function weft._as_answer(p_document jsonb)
  returns jsonb
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then weft._as_utf8(p_document::pg_catalog.text)::pg_catalog.jsonb else p_document end
$$;

comment on function weft._as_answer(jsonb) is 'Returns a document in a form that any client can read: in a database without an encoding, its texts are made UTF8.';

