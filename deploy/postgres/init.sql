-- Run once, by the superuser, when the data folder is made.
-- Each role owns one database and can connect to no other. The passwords are for development
-- only; the services refuse them when APP_ENV=production.

REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

CREATE ROLE orders LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'orders-dev-only';
CREATE DATABASE orders OWNER orders;
REVOKE ALL ON DATABASE orders FROM PUBLIC;

CREATE ROLE processor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'processor-dev-only';
CREATE DATABASE processor OWNER processor;
REVOKE ALL ON DATABASE processor FROM PUBLIC;
