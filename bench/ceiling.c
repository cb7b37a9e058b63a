/* The ceiling: publish COUNT persistent, mandatory messages with confirms, WINDOW of them in flight.
 *
 * ceiling HOST PORT USER PASSWORD VHOST EXCHANGE KEY COUNT WINDOW < template
 *
 * The template's lines are "property NAME VALUE", "header NAME VALUE", "number NAME VALUE" (a
 * 64-bit header) and "body VALUE"; wherever a value is the 36 characters of EVENT_ID, each message
 * has its own number at the end of it. Prints {"seconds": …, "cpu": …}.
 */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define CHANNEL 1
#define EVENT_ID "00000000-0000-7000-8000-000000000000"
#define MAX_HEADERS 32
#define MAX_COUNT 10000000

static char event_id[sizeof EVENT_ID] = EVENT_ID;
static amqp_table_entry_t headers[MAX_HEADERS];
static amqp_basic_properties_t properties;
static amqp_bytes_t body;
static unsigned char *settled;          /* by delivery tag */
static long lowest = 1, outstanding = 0; /* all tags below `lowest` are settled */

static void fail(const char *what) { fprintf(stderr, "ceiling: %s\n", what); exit(1); }

static void expect_reply(amqp_connection_state_t connection, const char *what) {
  if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL) fail(what);
}

static amqp_bytes_t text(const char *value) {
  return amqp_cstring_bytes(strcmp(value, EVENT_ID) ? strdup(value) : event_id);
}

static void set_property(const char *name, const char *value) {
#define TEXT(field, flag) \
  if (!strcmp(name, #field)) { properties.field = text(value); properties._flags |= flag; return; }
  TEXT(message_id, AMQP_BASIC_MESSAGE_ID_FLAG)
  TEXT(type, AMQP_BASIC_TYPE_FLAG)
  TEXT(content_type, AMQP_BASIC_CONTENT_TYPE_FLAG)
  TEXT(app_id, AMQP_BASIC_APP_ID_FLAG)
  TEXT(correlation_id, AMQP_BASIC_CORRELATION_ID_FLAG)
  if (!strcmp(name, "timestamp")) {
    properties.timestamp = strtoull(value, NULL, 10);
    properties._flags |= AMQP_BASIC_TIMESTAMP_FLAG;
  } else if (!strcmp(name, "delivery_mode")) {
    properties.delivery_mode = (uint8_t)atoi(value);
    properties._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
  } else {
    fail("unknown property");
  }
}

static void set_header(const char *kind, const char *name, const char *value) {
  if (properties.headers.num_entries == MAX_HEADERS) fail("too many headers");
  amqp_table_entry_t *entry = &headers[properties.headers.num_entries++];
  entry->key = amqp_cstring_bytes(strdup(name));
  if (!strcmp(kind, "number")) {
    entry->value.kind = AMQP_FIELD_KIND_I64;
    entry->value.value.i64 = atoll(value);
  } else {
    entry->value.kind = AMQP_FIELD_KIND_UTF8;
    entry->value.value.bytes = text(value);
  }
}

static void read_template(void) {
  static char line[65536];
  properties.headers.entries = headers;
  properties._flags |= AMQP_BASIC_HEADERS_FLAG;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    char *rest = line, *kind = strsep(&rest, " ");
    if (!rest) fail("a line of the template has no value");
    if (!strcmp(kind, "body")) { body = amqp_cstring_bytes(strdup(rest)); continue; }
    char *name = strsep(&rest, " ");
    if (!rest) fail("a line of the template has no value");
    if (!strcmp(kind, "property")) set_property(name, rest); else set_header(kind, name, rest);
  }
}

static amqp_connection_state_t open_channel(char **to) {
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  if (!socket || amqp_socket_open(socket, to[1], atoi(to[2]))) fail("cannot connect");
  amqp_rpc_reply_t login =
      amqp_login(connection, to[5], 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, to[3], to[4]);
  if (login.reply_type != AMQP_RESPONSE_NORMAL) fail("cannot log in");
  amqp_channel_open(connection, CHANNEL);
  expect_reply(connection, "no channel");
  amqp_confirm_select(connection, CHANNEL);
  expect_reply(connection, "no confirms");
  return connection;
}

static void settle(const amqp_basic_ack_t *ack) {
  long tag = (long)ack->delivery_tag;
  for (long one = ack->multiple ? lowest : tag; one <= tag; one++)
    if (!settled[one]) { settled[one] = 1; outstanding--; }
  while (settled[lowest]) lowest++;
}

static void wait_until(amqp_connection_state_t connection, long at_most) {
  struct timeval patience = {.tv_sec = 30};
  amqp_frame_t frame;
  while (outstanding > at_most) {
    amqp_maybe_release_buffers(connection);
    if (amqp_simple_wait_frame_noblock(connection, &frame, &patience)) fail("no confirm in 30 s");
    if (frame.frame_type != AMQP_FRAME_METHOD) fail("something was returned");
    if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) fail("not an ack");
    settle(frame.payload.method.decoded);
  }
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
         (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 10) fail("wrong arguments: see the source");
  long count = atol(argv[8]), window = atol(argv[9]);
  if (count < 1 || count > MAX_COUNT || window < 1) fail("COUNT or WINDOW is out of bounds");
  read_template();
  if (!(settled = calloc((size_t)count + 2, 1))) fail("no memory");
  amqp_connection_state_t connection = open_channel(argv);
  amqp_bytes_t exchange = amqp_cstring_bytes(argv[6]), key = amqp_cstring_bytes(argv[7]);
  double began = now(), used = cpu();
  for (long tag = 1; tag <= count; tag++) {
    snprintf(event_id + 24, 13, "%012ld", tag % (MAX_COUNT + 1));
    if (amqp_basic_publish(connection, CHANNEL, exchange, key, 1, 0, &properties, body))
      fail("cannot publish");
    if (++outstanding >= window) wait_until(connection, window - 1);
  }
  wait_until(connection, 0);
  printf("{\"seconds\": %.6f, \"cpu\": %.6f}\n", now() - began, cpu() - used);
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
  return 0;
}
