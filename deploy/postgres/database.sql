-- Creates the database of one service and its two roles. Run it with psql as superuser; running it
-- again does no harm.
--
-- <service>        reads and writes rows. It owns nothing: an intruder in the API can drop nothing,
--                  and create no table, schema, extension or temporary table.
-- <service>_owner  owns the tables. It migrates, and creates and drops day partitions.
--
-- The environment gives SERVICE, ROLE_PASSWORD, OWNER_PASSWORD and EXTENSIONS (trusted ones,
-- separated by commas). Extensions are created here, because the owner may not create them.
\set ON_ERROR_STOP on
\getenv service SERVICE
\getenv password ROLE_PASSWORD
\getenv owner_password OWNER_PASSWORD
\set extensions ''
\getenv extensions EXTENSIONS
\set owner :service _owner

SELECT format('CREATE ROLE %I', wanted) FROM unnest(ARRAY[:'service', :'owner']) AS wanted
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) \gexec

-- The server has 200 connections; two services leave some for a person who looks for a problem.
ALTER ROLE :"service" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 75
  PASSWORD :'password';
ALTER ROLE :"service" SET statement_timeout = '60s';
ALTER ROLE :"service" SET idle_in_transaction_session_timeout = '90s';

-- No statement_timeout: an index may take long to build. An idle transaction is ended all the same.
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 15
  PASSWORD :'owner_password';
ALTER ROLE :"owner" SET idle_in_transaction_session_timeout = '5min';

SELECT format('CREATE DATABASE %I', :'service')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec

\connect :"service"

-- In older databases the service's role owned the tables.
REASSIGN OWNED BY :"service" TO :"owner";
SELECT format('ALTER DATABASE %I OWNER TO %I', :'service', current_user) \gexec
REVOKE ALL ON DATABASE :"service" FROM PUBLIC, :"service", :"owner";
GRANT CONNECT ON DATABASE :"service" TO :"service", :"owner";

SELECT format('CREATE EXTENSION IF NOT EXISTS %I', wanted)
  FROM unnest(string_to_array(:'extensions', ',')) AS wanted \gexec

ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC, :"service";
GRANT USAGE ON SCHEMA public TO :"service";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"service";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"service";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner"
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"service";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" GRANT USAGE, SELECT ON SEQUENCES TO :"service";

-- Created before Alembic would create it: the service may read its revision, not change it.
CREATE TABLE IF NOT EXISTS alembic_version
  (version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY);
ALTER TABLE alembic_version OWNER TO :"owner";
REVOKE ALL ON alembic_version FROM :"service";
GRANT SELECT ON alembic_version TO :"service";
