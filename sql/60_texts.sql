-- What many kinds of objects have in common, in one wording: rights, options, owners. And texts as bytes, to be hashed and handed out.

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
  -- what is there without a word says nothing, however it was brought about
  having not (p_rights <@ acldefault(p_kind, p_owner) and acldefault(p_kind, p_owner) <@ p_rights)
$$;

comment on function weft._describe_rights(aclitem[], "char", oid) is
  'Writes an access list in words and in one order; null when it is what an object of that kind has by itself.';


create or replace function weft._describe_options(p_options text[])
  returns text
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'with ' || string_agg(o, ', ' order by o collate "C") from unnest(p_options) as o
$$;

comment on function weft._describe_options(text[]) is 'Writes options in one order, whatever order they were set in.';


-- What may be a password is named and not shown: a snapshot is kept, and read by whoever may see a deployment.
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

comment on function weft._describe_foreign_options(text[]) is 'Writes options of something foreign in one order, and of those that may hold a secret only the names.';


create or replace function weft._describe_firing(p_enabled "char")
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_enabled when 'D' then 'disabled' when 'R' then 'enabled for a replica' when 'A' then 'enabled always' end
$$;

comment on function weft._describe_firing("char") is 'Says when a trigger or a rule fires; null when it simply does.';


create or replace function weft._escape_marks(p_text text)
  returns text
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select replace(replace(p_text, E'\x1e', '\x1e'), E'\x1f', '\x1f')
$$;

comment on function weft._escape_marks(text) is 'Writes the characters that stand between objects in a way that can be read.';


-- A database in SQL_ASCII holds bytes, of whatever encoding, and none at all may be asked for in UTF8 that is none. ASCII, and what is UTF8
-- all the same, come out as everywhere.
create or replace function weft._to_bytes(p_text text)
  returns bytea
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select convert_to(p_text, case getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)
$$;

comment on function weft._to_bytes(text) is 'Writes a text as bytes: in UTF8, or as they are where the database has no encoding.';


create or replace function weft._as_utf8(p_text text)
  returns text
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if getdatabaseencoding() = 'UTF8' then
    return p_text;  -- no other text comes in there, and to look would cost as much as to copy it
  end if;
  perform convert_to(p_text, 'UTF8');
  return p_text;
exception when character_not_in_repertoire then
  return regexp_replace(p_text, '[^\x01-\x7f]', '?', 'g');
end
$$;

comment on function weft._as_utf8(text) is 'Returns a text as it is where it is UTF8, as it is in every database with an encoding; else with a question mark for each byte that is not ASCII.';


create or replace function weft._as_answer(p_document jsonb)
  returns jsonb
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then weft._as_utf8(p_document::pg_catalog.text)::pg_catalog.jsonb else p_document end
$$;

comment on function weft._as_answer(jsonb) is 'Returns a document so that any client can be told it: in a database without an encoding its texts are made UTF8.';

