/* SPDX-License-Identifier: Apache-2.0 */

/* What libqmp costs beside a plain socket loop, against a server in another process that answers at
 * once. A real QEMU spends more on the smallest command than either. Usage: bench-qmp [ROUNDS] */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <gio/gio.h>
#include <qmp/client.h>
#include <qmp/listener.h>

#define ROUNDS    15
#define COMMANDS  5000
#define EVENTS    50000    /* fewer than a listener keeps: fetching is slower than reading */
#define IN_FLIGHT 32

#define GREETING \
  "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 1}, " \
  "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define ANSWER \
  "{\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}, " \
  "\"id\": %s}\r\n"
#define EVENT \
  "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, " \
  "\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"running\", \"id\": \"job0\"}}\r\n"

/* --- the server --- */

static void
write_all (int         fd,
           const char *bytes,
           gsize       length)
{
  while (length > 0)
    {
      gssize written = send (fd, bytes, length, MSG_NOSIGNAL);

      if (written < 0 && errno != EINTR)
        _exit (1);
      bytes += MAX (written, 0);
      length -= (gsize) MAX (written, 0);
    }
}

static void
emit_events (int fd)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < 500; i++)
    g_string_append (text, EVENT);
  for (guint i = 0; i < EVENTS / 500; i++)
    write_all (fd, text->str, text->len);
  g_string_free (text, TRUE);
}

/* Commands end with ", "id": N}": what is between is the id. */
static void
serve_line (int         fd,
            const char *line,
            const char *end,
            GString    *answers)
{
  const char *id = g_strrstr_len (line, end - line, "\"id\": ");
  g_autofree char *number = id != NULL ? g_strndup (id + 6, (gsize) (end - id) - 7)
                                       : g_strdup ("0");

  if (g_strstr_len (line, end - line, "\"cont\"") != NULL)
    emit_events (fd);
  g_string_append_printf (answers, ANSWER, number);
}

static void
serve (int fd)
{
  GString *input = g_string_new (NULL);
  GString *answers = g_string_new (NULL);
  char chunk[65536];
  gssize length;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  write_all (fd, GREETING, strlen (GREETING));
  while ((length = recv (fd, chunk, sizeof chunk, 0)) > 0)
    {
      const char *line;
      const char *end;

      g_string_append_len (input, chunk, length);
      g_string_truncate (answers, 0);
      for (line = input->str; (end = strchr (line, '\n')) != NULL; line = end + 1)
        serve_line (fd, line, end, answers);
      g_string_erase (input, 0, line - input->str);
      write_all (fd, answers->str, answers->len);
    }
  _exit (0);
}

/* The client's end of a link to a new server. */
static int
start_server (pid_t *pid)
{
  int ends[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    g_error ("socketpair: %s", g_strerror (errno));
  *pid = fork ();
  if (*pid == 0)
    {
      close (ends[1]);
      serve (ends[0]);
    }
  close (ends[0]);
  return ends[1];
}

/* --- measuring --- */

typedef struct
{
  double wall;                  /* seconds */
  double cpu;                   /* seconds, of this process */
} Cost;

static double
read_cpu (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static Cost
begin (void)
{
  return (Cost) { (double) g_get_monotonic_time () / 1e6, read_cpu () };
}

static Cost
end (Cost since)
{
  return (Cost) { (double) g_get_monotonic_time () / 1e6 - since.wall, read_cpu () - since.cpu };
}

/* --- the plain socket --- */

static void
read_lines (int   fd,
            guint lines)
{
  char chunk[65536];

  while (lines > 0)
    {
      gssize length = recv (fd, chunk, sizeof chunk, 0);
      const char *at = chunk;

      if (length <= 0)
        g_error ("the server has gone");
      while (lines > 0 && (at = memchr (at, '\n', (gsize) (chunk + length - at))) != NULL)
        {
          at++;
          lines--;
        }
    }
}

static Cost
raw_commands (int fd)
{
  Cost start = begin ();

  for (guint i = 1; i <= COMMANDS; i++)
    {
      char line[100];
      int length = g_snprintf (line, sizeof line,
                               "{\"execute\": \"query-status\", \"id\": %u}\n", i);

      write_all (fd, line, (gsize) length);
      read_lines (fd, 1);
    }
  return end (start);
}

static Cost
raw_events (int fd)
{
  static const char line[] = "{\"execute\": \"cont\", \"id\": 1}\n";
  Cost start = begin ();

  write_all (fd, line, sizeof line - 1);
  read_lines (fd, EVENTS + 1);
  return end (start);
}

/* --- libqmp --- */

typedef struct
{
  QmpClient *client;
  guint      to_send;
  guint      to_come;
} Run;

static void
on_answer (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Run *run = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;

  value = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (value == NULL)
    g_error ("%s", error->message);
  run->to_come--;
  if (run->to_send > 0)
    {
      run->to_send--;
      qmp_client_execute_async (run->client, "query-status", NULL, 10000, NULL, on_answer, run);
    }
}

static Cost
qmp_commands (QmpClient *client,
              guint      in_flight)
{
  Run run = { client, COMMANDS - in_flight, COMMANDS };
  Cost start = begin ();

  for (guint i = 0; i < in_flight; i++)
    qmp_client_execute_async (client, "query-status", NULL, 10000, NULL, on_answer, &run);
  while (run.to_come > 0)
    g_main_context_iteration (NULL, TRUE);
  return end (start);
}

static void
on_event (QmpListener    *listener,
          const QmpEvent *event,
          guint          *to_come)
{
  (*to_come)--;
}

static Cost
qmp_events_signalled (QmpClient *client)
{
  static const char *const names[] = { "JOB_STATUS_CHANGE", NULL };
  g_autoptr (QmpListener) listener = qmp_listener_new (client, names, NULL, NULL, NULL);
  guint to_come = EVENTS;
  Run run = { client, 0, 1 };
  Cost start = begin ();

  g_signal_connect (listener, "event", G_CALLBACK (on_event), &to_come);
  qmp_client_execute_async (client, "cont", NULL, 0, NULL, on_answer, &run);
  while (to_come > 0 || run.to_come > 0)
    g_main_context_iteration (NULL, TRUE);
  return end (start);
}

static void
on_next (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  guint *to_come = user_data;
  QmpListener *listener = QMP_LISTENER (source);
  g_autoptr (QmpEvent) event = qmp_listener_next_finish (listener, result, NULL);

  if (event == NULL)
    g_error ("the events end too early");
  if (--*to_come > 0)
    qmp_listener_next_async (listener, 0, NULL, on_next, to_come);
}

static Cost
qmp_events_fetched (QmpClient *client)
{
  static const char *const names[] = { "JOB_STATUS_CHANGE", NULL };
  g_autoptr (QmpListener) listener = qmp_listener_new (client, names, NULL, NULL, NULL);
  guint to_come = EVENTS;
  Run run = { client, 0, 1 };
  Cost start = begin ();

  qmp_listener_next_async (listener, 0, NULL, on_next, &to_come);
  qmp_client_execute_async (client, "cont", NULL, 0, NULL, on_answer, &run);
  while (to_come > 0 || run.to_come > 0)
    g_main_context_iteration (NULL, TRUE);
  return end (start);
}

static void
on_opened (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  QmpClient **client = user_data;
  g_autoptr (GError) error = NULL;

  *client = qmp_client_open_finish (result, &error);
  if (*client == NULL)
    g_error ("%s", error->message);
}

static QmpClient *
open_client (int fd)
{
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, NULL);
  g_autoptr (GSocketConnection) link = g_socket_connection_factory_create_connection (socket);
  QmpClient *client = NULL;

  qmp_client_adopt_async (G_IO_STREAM (link), QMP_DIALECT_MONITOR, 5000, NULL, on_opened, &client);
  while (client == NULL)
    g_main_context_iteration (NULL, TRUE);
  return client;
}

/* --- the table --- */

enum
{
  RAW_COMMANDS,
  QMP_COMMANDS,
  QMP_COMMANDS_IN_FLIGHT,
  RAW_EVENTS,
  QMP_EVENTS_SIGNALLED,
  QMP_EVENTS_FETCHED,
  N_MEASURED,
};

static const struct
{
  const char *name;
  guint       times;
  guint       beside;
} measured[N_MEASURED] = {
  { "command, plain socket, one at a time", COMMANDS, RAW_COMMANDS },
  { "command, libqmp, one at a time", COMMANDS, RAW_COMMANDS },
  { "command, libqmp, 32 in flight", COMMANDS, RAW_COMMANDS },
  { "event, plain socket, lines counted", EVENTS, RAW_EVENTS },
  { "event, libqmp, signal", EVENTS, RAW_EVENTS },
  { "event, libqmp, fetched one by one", EVENTS, RAW_EVENTS },
};

static int
compare_doubles (const void *a,
                 const void *b)
{
  double difference = *(const double *) a - *(const double *) b;

  return difference < 0 ? -1 : difference > 0;
}

static double
median (double *values,
        guint   n)
{
  qsort (values, n, sizeof *values, compare_doubles);
  return values[n / 2];
}

static void
print_table (Cost  (*costs)[N_MEASURED],
             guint   rounds)
{
  g_autofree double *walls = g_new (double, rounds);
  g_autofree double *cpus = g_new (double, rounds);
  double base = 0;

  g_print ("%-40s %12s %12s %10s %10s\n", "median of the rounds", "per second", "slowest",
           "CPU, us", "x plain");
  for (guint i = 0; i < N_MEASURED; i++)
    {
      double times = measured[i].times;
      double wall;
      double cpu;

      for (guint round = 0; round < rounds; round++)
        {
          walls[round] = costs[round][i].wall;
          cpus[round] = costs[round][i].cpu;
        }
      wall = median (walls, rounds);
      cpu = median (cpus, rounds);
      if (measured[i].beside == i)
        base = cpu;
      g_print ("%-40s %12.0f %12.0f %10.3f %10.2f\n", measured[i].name, times / wall,
               times / walls[rounds - 1], cpu / times * 1e6, cpu / base);
    }
}

int
main (int    argc,
      char **argv)
{
  guint rounds = argc > 1 ? (guint) g_ascii_strtoull (argv[1], NULL, 10) : ROUNDS;
  g_autofree Cost (*costs)[N_MEASURED] = NULL;
  pid_t servers[2];
  int raw = start_server (&servers[0]);
  int fd = start_server (&servers[1]);
  g_autoptr (QmpClient) client = open_client (fd);

  if (rounds == 0)
    g_error ("usage: %s [ROUNDS]", argv[0]);
  costs = g_malloc0_n (rounds, sizeof *costs);
  read_lines (raw, 1);
  for (guint i = 0; i < rounds; i++)
    {
      costs[i][RAW_COMMANDS] = raw_commands (raw);
      costs[i][QMP_COMMANDS] = qmp_commands (client, 1);
      costs[i][QMP_COMMANDS_IN_FLIGHT] = qmp_commands (client, IN_FLIGHT);
      costs[i][RAW_EVENTS] = raw_events (raw);
      costs[i][QMP_EVENTS_SIGNALLED] = qmp_events_signalled (client);
      costs[i][QMP_EVENTS_FETCHED] = qmp_events_fetched (client);
    }
  print_table (costs, rounds);

  close (raw);
  qmp_client_close (client);
  for (guint i = 0; i < G_N_ELEMENTS (servers); i++)
    waitpid (servers[i], NULL, 0);
  return 0;
}
