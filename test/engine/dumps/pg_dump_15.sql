--
-- PostgreSQL database dump
--

\restrict yCNr1sPsVBwAvHpzY0uujpdls8pQyxbEmomv5jnx1abX6tDDuakzcSzfcyQ3Jqa

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
-- Name: shop; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA shop;


--
-- Name: code; Type: DOMAIN; Schema: shop; Owner: -
--

CREATE DOMAIN shop.code AS character varying(6)
	CONSTRAINT code_check CHECK (((VALUE)::text = upper((VALUE)::text)));


--
-- Name: mood; Type: TYPE; Schema: shop; Owner: -
--

CREATE TYPE shop.mood AS ENUM (
    'sad',
    'ok'
);


--
-- Name: nop(); Type: PROCEDURE; Schema: shop; Owner: -
--

CREATE PROCEDURE shop.nop()
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT 2;
END;


--
-- Name: plus(integer, integer); Type: FUNCTION; Schema: shop; Owner: -
--

CREATE FUNCTION shop.plus(a integer, b integer DEFAULT 1) RETURNS integer
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (b > 0) THEN (a + b)
             ELSE a
         END AS a;
END;


--
-- Name: touch(); Type: FUNCTION; Schema: shop; Owner: -
--

CREATE FUNCTION shop.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$ begin new.at := coalesce(new.at, '2020-01-01 00:00+00'); if new.note = '$1;' then return null; end if; return new; exception when undefined_column then return new; end $_$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: orders; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.orders (
    id bigint NOT NULL,
    customer_id integer NOT NULL,
    parent bigint,
    total numeric(10,2) NOT NULL,
    twice numeric GENERATED ALWAYS AS ((total * (2)::numeric)) STORED,
    data jsonb,
    raw bytea,
    at timestamp with time zone,
    CONSTRAINT orders_total_check CHECK ((total >= (0)::numeric))
);


--
-- Name: counts; Type: MATERIALIZED VIEW; Schema: shop; Owner: -
--

CREATE MATERIALIZED VIEW shop.counts AS
 SELECT count(*) AS count
   FROM shop.orders
  WITH NO DATA;


--
-- Name: customer; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.customer (
    id integer NOT NULL,
    name text NOT NULL,
    code shop.code,
    mood shop.mood DEFAULT 'ok'::shop.mood,
    tags text[],
    born date,
    note text
);


--
-- Name: TABLE customer; Type: COMMENT; Schema: shop; Owner: -
--

COMMENT ON TABLE shop.customer IS 'Who buys; -- and "why"';


--
-- Name: customer_id_seq; Type: SEQUENCE; Schema: shop; Owner: -
--

ALTER TABLE shop.customer ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME shop.customer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: log; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.log (
    at timestamp with time zone NOT NULL,
    what text
)
PARTITION BY RANGE (at);


--
-- Name: log_2020; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.log_2020 (
    at timestamp with time zone NOT NULL,
    what text
);


--
-- Name: log_rest; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.log_rest (
    at timestamp with time zone NOT NULL,
    what text
);


--
-- Name: nothing; Type: TABLE; Schema: shop; Owner: -
--

CREATE TABLE shop.nothing (
);


--
-- Name: orders_id_seq; Type: SEQUENCE; Schema: shop; Owner: -
--

CREATE SEQUENCE shop.orders_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: orders_id_seq; Type: SEQUENCE OWNED BY; Schema: shop; Owner: -
--

ALTER SEQUENCE shop.orders_id_seq OWNED BY shop.orders.id;


--
-- Name: seq; Type: SEQUENCE; Schema: shop; Owner: -
--

CREATE SEQUENCE shop.seq
    START WITH 7
    INCREMENT BY 3
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: totals; Type: VIEW; Schema: shop; Owner: -
--

CREATE VIEW shop.totals AS
 SELECT c.name,
    sum(o.total) AS total
   FROM (shop.customer c
     JOIN shop.orders o ON ((o.customer_id = c.id)))
  GROUP BY c.name;


--
-- Name: log_2020; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.log ATTACH PARTITION shop.log_2020 FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2021-01-01 00:00:00+00');


--
-- Name: log_rest; Type: TABLE ATTACH; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.log ATTACH PARTITION shop.log_rest DEFAULT;


--
-- Name: orders id; Type: DEFAULT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.orders ALTER COLUMN id SET DEFAULT nextval('shop.orders_id_seq'::regclass);


--
-- Data for Name: customer; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.customer (id, name, code, mood, tags, born, note) FROM stdin;
1	n\t1\\ö🎉	C1	ok	{"a,b",NULL,"c\\"1"}	2000-01-02	
2	n\t2\\ö🎉	C2	sad	{"a,b",NULL,"c\\"2"}	2000-01-03	\\.\n\\N
3	n\t3\\ö🎉	\N	ok	{"a,b",NULL,"c\\"3"}	2000-01-04	line\r\nline; -- x
4	n\t4\\ö🎉	C4	sad	{"a,b",NULL,"c\\"4"}	2000-01-05	it's $$
5	n\t5\\ö🎉	C5	ok	{"a,b",NULL,"c\\"5"}	2000-01-06	\N
6	n\t6\\ö🎉	\N	sad	{"a,b",NULL,"c\\"6"}	2000-01-07	
7	n\t7\\ö🎉	C7	ok	{"a,b",NULL,"c\\"7"}	2000-01-08	\\.\n\\N
8	n\t8\\ö🎉	C8	sad	{"a,b",NULL,"c\\"8"}	2000-01-09	line\r\nline; -- x
9	n\t9\\ö🎉	\N	ok	{"a,b",NULL,"c\\"9"}	2000-01-10	it's $$
10	n\t10\\ö🎉	C10	sad	{"a,b",NULL,"c\\"10"}	2000-01-11	\N
11	n\t11\\ö🎉	C11	ok	{"a,b",NULL,"c\\"11"}	2000-01-12	
12	n\t12\\ö🎉	\N	sad	{"a,b",NULL,"c\\"12"}	2000-01-13	\\.\n\\N
13	n\t13\\ö🎉	C13	ok	{"a,b",NULL,"c\\"13"}	2000-01-14	line\r\nline; -- x
14	n\t14\\ö🎉	C14	sad	{"a,b",NULL,"c\\"14"}	2000-01-15	it's $$
15	n\t15\\ö🎉	\N	ok	{"a,b",NULL,"c\\"15"}	2000-01-16	\N
16	n\t16\\ö🎉	C16	sad	{"a,b",NULL,"c\\"16"}	2000-01-17	
17	n\t17\\ö🎉	C17	ok	{"a,b",NULL,"c\\"17"}	2000-01-18	\\.\n\\N
18	n\t18\\ö🎉	\N	sad	{"a,b",NULL,"c\\"18"}	2000-01-19	line\r\nline; -- x
19	n\t19\\ö🎉	C19	ok	{"a,b",NULL,"c\\"19"}	2000-01-20	it's $$
20	n\t20\\ö🎉	C20	sad	{"a,b",NULL,"c\\"20"}	2000-01-21	\N
\.


--
-- Data for Name: log_2020; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.log_2020 (at, what) FROM stdin;
2020-07-01 00:00:00+00	\b\f\v1
2020-07-31 00:00:00+00	\b\f\v2
2020-08-30 00:00:00+00	\b\f\v3
2020-09-29 00:00:00+00	\b\f\v4
2020-10-29 00:00:00+00	\b\f\v5
2020-11-28 00:00:00+00	\b\f\v6
2020-12-28 00:00:00+00	\b\f\v7
\.


--
-- Data for Name: log_rest; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.log_rest (at, what) FROM stdin;
2021-01-27 00:00:00+00	\b\f\v8
2021-02-26 00:00:00+00	\b\f\v9
2021-03-28 00:00:00+00	\b\f\v10
2021-04-27 00:00:00+00	\b\f\v11
2021-05-27 00:00:00+00	\b\f\v12
\.


--
-- Data for Name: nothing; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.nothing  FROM stdin;


\.


--
-- Data for Name: orders; Type: TABLE DATA; Schema: shop; Owner: -
--

COPY shop.orders (id, customer_id, parent, total, data, raw, at) FROM stdin;
1	2	\N	0.14	{"key": 1, "text": "q\\"\\\\\\n"}	\\x000001	2020-01-01 01:00:00+00
2	3	\N	0.29	{"key": 2, "text": "q\\"\\\\\\n"}	\\x000002	2020-01-01 02:00:00+00
3	4	\N	0.43	{"key": 3, "text": "q\\"\\\\\\n"}	\\x000003	2020-01-01 03:00:00+00
4	5	\N	0.57	{"key": 4, "text": "q\\"\\\\\\n"}	\\x000004	2020-01-01 04:00:00+00
5	6	\N	0.71	{"key": 5, "text": "q\\"\\\\\\n"}	\\x000005	2020-01-01 05:00:00+00
6	7	\N	0.86	{"key": 6, "text": "q\\"\\\\\\n"}	\\x000006	2020-01-01 06:00:00+00
7	8	\N	1.00	{"key": 7, "text": "q\\"\\\\\\n"}	\\x000007	2020-01-01 07:00:00+00
8	9	\N	1.14	{"key": 8, "text": "q\\"\\\\\\n"}	\\x000008	2020-01-01 08:00:00+00
9	10	\N	1.29	{"key": 9, "text": "q\\"\\\\\\n"}	\\x000009	2020-01-01 09:00:00+00
10	11	\N	1.43	{"key": 10, "text": "q\\"\\\\\\n"}	\\x00000a	2020-01-01 10:00:00+00
11	12	10	1.57	{"key": 11, "text": "q\\"\\\\\\n"}	\\x00000b	2020-01-01 11:00:00+00
12	13	11	1.71	{"key": 12, "text": "q\\"\\\\\\n"}	\\x00000c	2020-01-01 12:00:00+00
13	14	12	1.86	{"key": 13, "text": "q\\"\\\\\\n"}	\\x00000d	2020-01-01 13:00:00+00
14	15	13	2.00	{"key": 14, "text": "q\\"\\\\\\n"}	\\x00000e	2020-01-01 14:00:00+00
15	16	14	2.14	{"key": 15, "text": "q\\"\\\\\\n"}	\\x00000f	2020-01-01 15:00:00+00
16	17	15	2.29	{"key": 16, "text": "q\\"\\\\\\n"}	\\x000010	2020-01-01 16:00:00+00
17	18	16	2.43	{"key": 17, "text": "q\\"\\\\\\n"}	\\x000011	2020-01-01 17:00:00+00
18	19	17	2.57	{"key": 18, "text": "q\\"\\\\\\n"}	\\x000012	2020-01-01 18:00:00+00
19	20	18	2.71	{"key": 19, "text": "q\\"\\\\\\n"}	\\x000013	2020-01-01 19:00:00+00
20	1	19	2.86	{"key": 20, "text": "q\\"\\\\\\n"}	\\x000014	2020-01-01 20:00:00+00
21	2	20	3.00	{"key": 21, "text": "q\\"\\\\\\n"}	\\x000015	2020-01-01 21:00:00+00
22	3	21	3.14	{"key": 22, "text": "q\\"\\\\\\n"}	\\x000016	2020-01-01 22:00:00+00
23	4	22	3.29	{"key": 23, "text": "q\\"\\\\\\n"}	\\x000017	2020-01-01 23:00:00+00
24	5	23	3.43	{"key": 24, "text": "q\\"\\\\\\n"}	\\x000018	2020-01-02 00:00:00+00
25	6	24	3.57	{"key": 25, "text": "q\\"\\\\\\n"}	\\x000019	2020-01-02 01:00:00+00
26	7	25	3.71	{"key": 26, "text": "q\\"\\\\\\n"}	\\x00001a	2020-01-02 02:00:00+00
27	8	26	3.86	{"key": 27, "text": "q\\"\\\\\\n"}	\\x00001b	2020-01-02 03:00:00+00
28	9	27	4.00	{"key": 28, "text": "q\\"\\\\\\n"}	\\x00001c	2020-01-02 04:00:00+00
29	10	28	4.14	{"key": 29, "text": "q\\"\\\\\\n"}	\\x00001d	2020-01-02 05:00:00+00
30	11	29	4.29	{"key": 30, "text": "q\\"\\\\\\n"}	\\x00001e	2020-01-02 06:00:00+00
\.


--
-- Name: customer_id_seq; Type: SEQUENCE SET; Schema: shop; Owner: -
--

SELECT pg_catalog.setval('shop.customer_id_seq', 20, true);


--
-- Name: orders_id_seq; Type: SEQUENCE SET; Schema: shop; Owner: -
--

SELECT pg_catalog.setval('shop.orders_id_seq', 30, true);


--
-- Name: seq; Type: SEQUENCE SET; Schema: shop; Owner: -
--

SELECT pg_catalog.setval('shop.seq', 7, true);


--
-- Name: customer customer_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);


--
-- Name: orders_customer_id_at_idx; Type: INDEX; Schema: shop; Owner: -
--

CREATE INDEX orders_customer_id_at_idx ON shop.orders USING btree (customer_id, at DESC);


--
-- Name: orders_lower_idx; Type: INDEX; Schema: shop; Owner: -
--

CREATE UNIQUE INDEX orders_lower_idx ON shop.orders USING btree (lower((data ->> 'key'::text))) WHERE (total > (0)::numeric);


--
-- Name: st; Type: STATISTICS; Schema: shop; Owner: -
--

CREATE STATISTICS shop.st (dependencies) ON id, customer_id FROM shop.orders;


--
-- Name: nothing no_delete; Type: RULE; Schema: shop; Owner: -
--

CREATE RULE no_delete AS
    ON DELETE TO shop.nothing DO ( SELECT 1 AS "?column?";
 SELECT ';'::text AS "?column?";
);


--
-- Name: orders touch; Type: TRIGGER; Schema: shop; Owner: -
--

CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();


--
-- Name: orders orders_customer_id_fkey; Type: FK CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES shop.customer(id);


--
-- Name: orders orders_parent_fkey; Type: FK CONSTRAINT; Schema: shop; Owner: -
--

ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_parent_fkey FOREIGN KEY (parent) REFERENCES shop.orders(id);


--
-- Name: customer; Type: ROW SECURITY; Schema: shop; Owner: -
--

ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;

--
-- Name: customer p; Type: POLICY; Schema: shop; Owner: -
--

CREATE POLICY p ON shop.customer USING ((name <> ';'::text));


--
-- Name: TABLE orders; Type: ACL; Schema: shop; Owner: -
--

GRANT SELECT ON TABLE shop.orders TO PUBLIC;


--
-- Name: counts; Type: MATERIALIZED VIEW DATA; Schema: shop; Owner: -
--

REFRESH MATERIALIZED VIEW shop.counts;


--
-- PostgreSQL database dump complete
--

\unrestrict yCNr1sPsVBwAvHpzY0uujpdls8pQyxbEmomv5jnx1abX6tDDuakzcSzfcyQ3Jqa

