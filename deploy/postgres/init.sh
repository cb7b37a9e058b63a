#!/usr/bin/env bash
# The image runs this once, when the data folder is created. It creates a database and two roles for
# each service, with the passwords in the URLs that the services get.
set -euo pipefail

password_of() { # password_of SECRET: the password in the secret's URL, percent-decoded
    local login
    login=$(<"/run/secrets/$1")
    login=${login#*://*:}
    login=${login%%@*}
    printf '%b' "${login//%/\\x}"
}

run() { psql -X -q -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d postgres "$@"; }

run -c 'REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC'
for service in orders processor; do
    extensions=
    if [ "$service" = processor ]; then extensions=btree_gist; fi
    SERVICE=$service EXTENSIONS=$extensions \
        ROLE_PASSWORD=$(password_of "database_url_$service") \
        OWNER_PASSWORD=$(password_of "database_owner_url_$service") \
        run -f /etc/postgres/database.sql
done
