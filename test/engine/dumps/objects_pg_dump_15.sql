--
-- PostgreSQL database dump
--

\restrict dBLtFEBVtgBxxV97c0dn24WIuidRT293l6xCvyp0l7Et2pdJ1dloUgds9Nk8sDt

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: We ird;; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA "We ird;";


--
-- Name: shop; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA shop;


--
-- Name: comp; Type: TYPE; Schema: shop; Owner: -
--

CREATE TYPE shop.comp AS (
	x integer,
	y text
);


--
-- Name: rng; Type: TYPE; Schema: shop; Owner: -
--

CREATE TYPE shop.rng AS RANGE (
    subtype = numeric,
    multirange_type_name = shop.rng_multirange
);


--
-- Name: CAST (shop.comp AS text); Type: CAST; Schema: -; Owner: -
--

CREATE CAST (shop.comp AS text) WITH INOUT;


--
-- Name: atomic_one(integer); Type: FUNCTION; Schema: shop; Owner: -
--

CREATE FUNCTION shop.atomic_one(a integer) RETURNS TABLE(z integer)
    LANGUAGE sql
    BEGIN ATOMIC
 WITH q AS (
          SELECT atomic_one.a AS a
         UNION
          SELECT 2
         )
  SELECT
         CASE
             WHEN true THEN 1
             ELSE 2
         END AS "case"
    FROM q;
END;


--
-- Name: pr(integer); Type: PROCEDURE; Schema: shop; Owner: -
--

CREATE PROCEDURE shop.pr(INOUT a integer)
    LANGUAGE plpgsql
    AS $$ begin a := a + 1; commit; end $$;


--
-- Name: quoted(); Type: FUNCTION; Schema: shop; Owner: -
--

CREATE FUNCTION shop.quoted() RETURNS text
    LANGUAGE sql
    SET search_path TO 'shop', 'we ird'
    AS $_$ select $$ ; $$ || '''' $_$;


--
-- Name: ret(integer); Type: FUNCTION; Schema: shop; Owner: -
--

CREATE FUNCTION shop.ret(a integer) RETURNS integer
    LANGUAGE sql
    RETURN (a + 1);


--
-- Name: FUNCTION ret(a integer); Type: COMMENT; Schema: shop; Owner: -
--

COMMENT ON FUNCTION shop.ret(a integer) IS 'line
-- two';


--
-- Name: touch(); Type: FUNCTION; Schema: shop; Owner: -
--

CREATE FUNCTION shop.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin return new; end $$;


--
-- Name: mysum(integer); Type: AGGREGATE; Schema: shop; Owner: -
--

CREATE AGGREGATE shop.mysum(integer) (
    SFUNC = int4pl,
    STYPE = integer,
    INITCOND = '0'
);


--
-- Name: ===; Type: OPERATOR; Schema: shop; Owner: -
--

CREATE OPERATOR shop.=== (
    FUNCTION = int4eq,
    LEFTARG = integer,
    RIGHTARG = integer
);


--
-- Name: ts; Type: TEXT SEARCH CONFIGURATION; Schema: shop; Owner: -
--

CREATE TEXT SEARCH CONFIGURATION shop.ts (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR asciiword WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR word WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR hword_part WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR hword_asciipart WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR asciihword WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR hword WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION shop.ts
    ADD MAPPING FOR uint WITH simple;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: Ta"ble; Type: TABLE; Schema: We ird;; Owner: -
--

CREATE TABLE "We ird;"."Ta""ble" (
    "Co;l" integer,
    "--x" text
);


--
-- Name: parent; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.parent (
    a integer,
    b text DEFAULT 'x;y'::text
);


--
-- Name: child; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.child (
    c integer
)
INHERITS (shop.parent);


--
-- Name: ident; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.ident (
    a integer NOT NULL,
    b integer GENERATED ALWAYS AS ((a * 2)) STORED,
    e int4range
);


--
-- Name: COLUMN ident.b; Type: COMMENT; Schema: shop; Owner: -
--

COMMENT ON COLUMN shop.ident.b IS 'a\b';


--
-- Name: ident_a_seq; Type: SEQUENCE; Schema: shop; Owner: -
--

ALTER TABLE shop.ident ALTER COLUMN a ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME shop.ident_a_seq
    START WITH 100
    INCREMENT BY 5
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: of_comp; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.of_comp OF shop.comp (
    x NOT NULL
);


--
-- Name: part; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part (
    id integer NOT NULL,
    region text NOT NULL
)
PARTITION BY LIST (region);


--
-- Name: part_eu; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part_eu (
    id integer NOT NULL,
    region text NOT NULL
)
PARTITION BY RANGE (id);


--
-- Name: part_eu_1; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part_eu_1 (
    id integer NOT NULL,
    region text NOT NULL
);


--
-- Name: part_h; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part_h (
    id integer
)
PARTITION BY HASH (id);


--
-- Name: part_h0; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part_h0 (
    id integer
);


--
-- Name: part_h1; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part_h1 (
    id integer
);


--
-- Name: part_us; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.part_us (
    id integer NOT NULL,
    region text NOT NULL
)
WITH (fillfactor='70', autovacuum_enabled=off);


--
-- Name: quick; Type: TABLE; Schema: shop; Owner: -
--

CREATE UNLOGGED TABLE shop.quick (
    a integer
);


--
-- Name: sec; Type: VIEW; Schema: shop; Owner: -
--

CREATE VIEW shop.sec WITH (security_barrier='true') AS
 SELECT ident.a,
    ident.b,
    ident.e
   FROM shop.ident
  WHERE (ident.a > 0)
  WITH LOCAL CHECK OPTION;


--
-- Name: texts; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.texts (
    t text
);


--
-- Name: typed; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.typed (
    a integer,
    s text
);
ALTER TABLE ONLY shop.typed ALTER COLUMN s SET STORAGE EXTERNAL;


--
-- Name: unread; Type: MATERIALIZED VIEW; Schema: shop; Owner: -
--

CREATE MATERIALIZED VIEW shop.unread AS
 SELECT ident.a,
    ident.b,
    ident.e
   FROM shop.ident
  WITH NO DATA;


--
-- Name: part_eu; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part ATTACH PARTITION shop.part_eu FOR VALUES IN ('eu');


--
-- Name: part_eu_1; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part_eu ATTACH PARTITION shop.part_eu_1 FOR VALUES FROM (0) TO (100);


--
-- Name: part_h0; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part_h ATTACH PARTITION shop.part_h0 FOR VALUES WITH (modulus 2, remainder 0);


--
-- Name: part_h1; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part_h ATTACH PARTITION shop.part_h1 FOR VALUES WITH (modulus 2, remainder 1);


--
-- Name: part_us; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part ATTACH PARTITION shop.part_us FOR VALUES IN ('us');


--
-- Name: child b; Type: DEFAULT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.child ALTER COLUMN b SET DEFAULT 'x;y'::text;


--
-- Name: 4711; Type: BLOB; Schema: -; Owner: -
--

SELECT pg_catalog.lo_create('4711');


--
-- Name: LARGE OBJECT 4711; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON LARGE OBJECT 4711 IS 'lob';


--
-- Name: 4712; Type: BLOB; Schema: -; Owner: -
--

SELECT pg_catalog.lo_create('4712');


--
-- Data for Name: Ta"ble; Type: TABLE DATA; Schema: We ird;; Owner: -
--

COPY "We ird;"."Ta""ble" ("Co;l", "--x") FROM stdin;
1	a\tb\\
\.


--
-- Data for Name: child; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.child (a, b, c) FROM stdin;
1	q	2
\.


--
-- Data for Name: ident; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.ident (a, e) FROM stdin;
100	[1,3)
105	[5,9)
110	\N
\.


--
-- Data for Name: of_comp; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.of_comp (x, y) FROM stdin;
1	a;b
\.


--
-- Data for Name: parent; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.parent (a, b) FROM stdin;
\.


--
-- Data for Name: part_eu_1; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.part_eu_1 (id, region) FROM stdin;
1	eu
\.


--
-- Data for Name: part_h0; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.part_h0 (id) FROM stdin;
1
2
\.


--
-- Data for Name: part_h1; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.part_h1 (id) FROM stdin;
3
4
5
6
7
8
9
10
\.


--
-- Data for Name: part_us; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.part_us (id, region) FROM stdin;
2	us
\.


--
-- Data for Name: quick; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.quick (a) FROM stdin;
1
\.


--
-- Data for Name: texts; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.texts (t) FROM stdin;
select 1;

\N
\\N
\\.
\\.\nCOPY public.t (a) FROM stdin;\n
-- 
copy x from stdin
\.


--
-- Data for Name: typed; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.typed (a, s) FROM stdin;
\.


--
-- Name: ident_a_seq; Type: SEQUENCE SET; Schema: shop; Owner: -
--

SELECT pg_catalog.setval('shop.ident_a_seq', 110, true);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('4711', 131072);
SELECT pg_catalog.lowrite(0, '\x6c61726765203b206f626a656374205c2e');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('4712', 131072);
SELECT pg_catalog.lowrite(0, '\x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: ident ident_e_excl; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.ident
    ADD CONSTRAINT ident_e_excl EXCLUDE USING gist (e WITH &&);


--
-- Name: of_comp of_comp_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.of_comp
    ADD CONSTRAINT of_comp_pkey PRIMARY KEY (x);


--
-- Name: part part_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part
    ADD CONSTRAINT part_pkey PRIMARY KEY (id, region);


--
-- Name: part_eu part_eu_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part_eu
    ADD CONSTRAINT part_eu_pkey PRIMARY KEY (id, region);


--
-- Name: part_eu_1 part_eu_1_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part_eu_1
    ADD CONSTRAINT part_eu_1_pkey PRIMARY KEY (id, region);


--
-- Name: part_us part_us_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.part_us
    ADD CONSTRAINT part_us_pkey PRIMARY KEY (id, region);


--
-- Name: part_h_id_idx; Type: INDEX; Schema: shop; Owner: -
--

CREATE INDEX part_h_id_idx ON ONLY shop.part_h USING btree (id);


--
-- Name: part_h0_id_idx; Type: INDEX; Schema: shop; Owner: -
--

CREATE INDEX part_h0_id_idx ON shop.part_h0 USING btree (id);


--
-- Name: part_h1_id_idx; Type: INDEX; Schema: shop; Owner: -
--

CREATE INDEX part_h1_id_idx ON shop.part_h1 USING btree (id);


--
-- Name: part_eu_1_pkey; Type: INDEX ATTACH; Schema: shop; Owner: -
--

ALTER INDEX shop.part_eu_pkey ATTACH PARTITION shop.part_eu_1_pkey;


--
-- Name: part_eu_pkey; Type: INDEX ATTACH; Schema: shop; Owner: -
--

ALTER INDEX shop.part_pkey ATTACH PARTITION shop.part_eu_pkey;


--
-- Name: part_h0_id_idx; Type: INDEX ATTACH; Schema: shop; Owner: -
--

ALTER INDEX shop.part_h_id_idx ATTACH PARTITION shop.part_h0_id_idx;


--
-- Name: part_h1_id_idx; Type: INDEX ATTACH; Schema: shop; Owner: -
--

ALTER INDEX shop.part_h_id_idx ATTACH PARTITION shop.part_h1_id_idx;


--
-- Name: part_us_pkey; Type: INDEX ATTACH; Schema: shop; Owner: -
--

ALTER INDEX shop.part_pkey ATTACH PARTITION shop.part_us_pkey;


--
-- Name: st2; Type: STATISTICS; Schema: shop; Owner: -
--

CREATE STATISTICS shop.st2 ON a, lower(s) FROM shop.typed;


--
-- Name: typed r2; Type: RULE; Schema: shop; Owner: -
--

CREATE RULE r2 AS
    ON INSERT TO shop.typed
   WHERE (new.a > 5) DO INSTEAD NOTHING;


--
-- Name: ident deferred; Type: TRIGGER; Schema: shop; Owner: -
--

CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON shop.ident DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.touch();


--
-- Name: ident each_statement; Type: TRIGGER; Schema: shop; Owner: -
--

CREATE TRIGGER each_statement AFTER INSERT ON shop.ident REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION shop.touch();

ALTER TABLE shop.ident DISABLE TRIGGER each_statement;


--
-- Name: ident; Type: ROW SECURITY; Schema: shop; Owner: -
--

ALTER TABLE shop.ident ENABLE ROW LEVEL SECURITY;

--
-- Name: ident p2; Type: POLICY; Schema: shop; Owner: -
--

CREATE POLICY p2 ON shop.ident AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK ((a <> 7));


--
-- Name: POLICY p2 ON ident; Type: COMMENT; Schema: shop; Owner: -
--

COMMENT ON POLICY p2 ON shop.ident IS 'po;licy';


--
-- Name: pub; Type: PUBLICATION; Schema: -; Owner: -
--

CREATE PUBLICATION pub WITH (publish = 'insert');


--
-- Name: pub ident; Type: PUBLICATION TABLE; Schema: shop; Owner: -
--

ALTER PUBLICATION pub ADD TABLE ONLY shop.ident;


--
-- Name: pub of_comp; Type: PUBLICATION TABLE; Schema: shop; Owner: -
--

ALTER PUBLICATION pub ADD TABLE ONLY shop.of_comp;


--
-- PostgreSQL database dump complete
--

\unrestrict dBLtFEBVtgBxxV97c0dn24WIuidRT293l6xCvyp0l7Et2pdJ1dloUgds9Nk8sDt

