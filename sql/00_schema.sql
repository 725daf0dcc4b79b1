-- The engine of Weft lives in this schema and nowhere else: dropping it touches nothing of the user's.
--
-- The floors, in the order in which they are laid. Each calls only the ones below it.
--
--   00 schema      the schema itself                           \  state: laid once, changed only by sql/upgrades/
--   10 types       the state machines                           |
--   20 tables      what is remembered, and what must be true   /
--   30 constants   version, limits                             \
--   40 events      the journal of a deployment                  |
--   48 texts       what one statement's text tells             |
--   50 scanner     where a statement ends                       |  code: laid anew by every installation and upgrade
--   55 differences two contents of one file                    |
--   60 texts       what many kinds say of themselves            |
--   61 rare_kinds  what hardly any database has of its own      |
--   62 kinds       what most have little of                     |
--   63 catalog     the catalog as one text                      |
--   64 snapshot    as rows, as a hash, and what differs         |
--   65 drift       before and after, and since                  |
--   66 copies      rows behind a COPY, made ready for INSERT    |
--   66 secrets     what must not be written down               |
--   67 interpolation  parameters in statements                 |
--   68 measures    what a statement takes and does             |
--   69 others      what may be told of other sessions           |
--   70 lease       which CALL runs now, and the fence           |
--   71 parameters  what a deployment is given                  |
--   72 budgets     how long a statement may wait for a lock    |
--   72 session     role, path and settings, there and back      |
--   73 artifacts   bytes as statements                          |
--   73 places      where in a file an error is                  |
--   74 errors      the account of an error                      |
--   75 status      what a deployment looks like                 |
--   76 guards      what is asked around the work                |
--   77 csv         the text of a data file as rows              |
--   77 culprits    which of many rows it was                    |
--   77 json        a part of a JSON array                       |
--   77 load_parts  a data file, chunk by chunk                  |
--   77 load_plans  the statements of a load                     |
--   77 loads       a data file into a table                     |
--   77 readers     a file read while it runs                   |
--   77 row_errors  which row of a COPY was refused             |
--   78 checks      rows that break a rule                       |
--   79 blockers    who had a lock that was not to be had        |
--   79 history     a bundle's files against the history        |
--   79 objects     what came into being, and what is gone      |
--   80 steps       one block: statements, record, or an error   |
--   81 repeatables files that run again and again              |
--   82 judges      what the catalog says of a statement         |
--   83 statements  a step apart, statement by statement         |
--   84 batches     one statement, run until it touches no row   |
--   84 rounds      each in a transaction, and the next size     |
--   85 line        whose turn it is; beginning and ending       |
--   86 undo        going back with the files that came along    |
--   87 forms       what a rehearsal does otherwise             |
--   87 rehearsal   all of it, measured and taken back          |
--   88 baseline    what is there already                        |
--   89 reports     what a rehearsal showed, and did not         |
--   90 run         the one procedure                            |
--   95 api         the names that the doorman calls             |
--   99 views       what people read                            /
--
-- Names: a leading underscore is internal. p_ is a parameter, v_ a variable. Every name is qualified, and every function
-- runs with search_path 'pg_catalog, pg_temp': a temporary table called pg_stat_activity must blind nobody.

create schema weft;

comment on schema weft is
  'The engine of Weft: deploys changes to this database from inside it. Only what Weft needs; drop it and nothing of yours is touched.';

revoke all on schema weft from public;
