/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the options of commands that work on chains, the request that they make, and how it is
 * asked for. */

#include "chain-options.h"

#include "error.h"
#include "members.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "wait.h"

/**
 * chain_options_clear:
 * @self: options; what they hold is freed
 */
void
chain_options_clear (ChainOptions *self)
{
  g_strfreev (self->disks);
  g_free (self->disk_list);
  g_free (self->speed);
  g_free (self->deadline);
  g_free (self->on_deadline);
  g_free (self->on_error);
  g_free (self->name);
  g_free (self->idempotency_key);
}

/* (transfer full): @more, and those that @flags name; they go into @self. */
static GOptionEntry *
list_entries (ChainOptions       *self,
              ChainOptionsFlags   flags,
              const GOptionEntry *more)
{
  const GOptionEntry disks[] = {
    { "disk", 'd', 0, G_OPTION_ARG_STRING_ARRAY, &self->disks, "This disk (repeatable)", "DISK" },
    { "disks", 0, 0, G_OPTION_ARG_STRING, &self->disk_list, "These disks, or all of them",
      "A,B|all" },
  };
  const GOptionEntry job[] = {
    { "speed", 0, 0, G_OPTION_ARG_STRING, &self->speed, "Bytes a second at most, such as 50M",
      "RATE" },
    { "on-error", 0, 0, G_OPTION_ARG_STRING, &self->on_error,
      "When a file cannot be read or written: give up, wait to be resumed, or wait when it is full",
      "report|stop|enospc" },
  };
  const GOptionEntry deadline[] = {
    { "deadline", 0, 0, G_OPTION_ARG_STRING, &self->deadline,
      "How long it may take to catch up with a guest that writes on", "SECONDS" },
    { "on-deadline", 0, 0, G_OPTION_ARG_STRING, &self->on_deadline,
      "Then: stop the guest for the rest, slow its writes down, or give up",
      (flags & CHAIN_OPTIONS_CANCEL) != 0 ? "stop|throttle|cancel" : "stop|throttle|leave" },
  };
  const GOptionEntry points[] = {
    { "discard-points", 0, 0, G_OPTION_ARG_NONE, &self->discard_points,
      "Points that would be lost may go", NULL },
  };
  const GOptionEntry change[] = {
    { "no-reset", 0, 0, G_OPTION_ARG_NONE, &self->no_reset,
      "Do not reset the guest: for disks that it has unmounted", NULL },
    { "discard", 0, 0, G_OPTION_ARG_NONE, &self->discard,
      "Do not keep what the disks show now as a point", NULL },
    { "name", 0, 0, G_OPTION_ARG_STRING, &self->name, "Of the point that keeps it", "NAME" },
  };
  const GOptionEntry common[] = {
    { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &self->dry_run, "Only tell what would be done", NULL },
    { "no-wait", 0, 0, G_OPTION_ARG_NONE, &self->no_wait, "Return when it has begun", NULL },
    { "idempotency-key", 0, 0, G_OPTION_ARG_STRING, &self->idempotency_key,
      "With the same key again, do it no second time", "KEY" },
  };
  const struct { const GOptionEntry *entries; guint n_entries; gboolean wanted; } groups[] = {
    { disks,    G_N_ELEMENTS (disks),    (flags & CHAIN_OPTIONS_DISKS) != 0    },
    { job,      G_N_ELEMENTS (job),      (flags & CHAIN_OPTIONS_JOB) != 0      },
    { deadline, G_N_ELEMENTS (deadline), (flags & CHAIN_OPTIONS_DEADLINE) != 0 },
    { points,   G_N_ELEMENTS (points),   (flags & CHAIN_OPTIONS_POINTS) != 0   },
    { change,   G_N_ELEMENTS (change),   (flags & CHAIN_OPTIONS_SWITCH) != 0   },
    { common,   G_N_ELEMENTS (common),   TRUE                                  },
  };
  g_autoptr (GArray) all = g_array_new (TRUE, FALSE, sizeof (GOptionEntry));

  for (; more != NULL && more->long_name != NULL; more++)
    g_array_append_val (all, *more);
  for (gsize i = 0; i < G_N_ELEMENTS (groups); i++)
    if (groups[i].wanted)
      g_array_append_vals (all, groups[i].entries, groups[i].n_entries);
  return (GOptionEntry *) (gpointer) g_array_free (g_steal_pointer (&all), FALSE);
}

static JsonObject *
describe (const ChainOptions  *self,
          GError             **error)
{
  g_autoptr (JsonObject) object = json_object_new ();

  if (!members_set_disks (object, self->disks, self->disk_list, error) ||
      !members_set_bytes (object, "speed", "--speed", self->speed, error) ||
      !members_set_count (object, "deadline", "--deadline", self->deadline, "whole seconds", error))
    return NULL;
  /* Which is what these requests mean when they name none. */
  if (g_strcmp0 (self->disk_list, "all") == 0)
    json_object_remove_member (object, "disks");
  members_set_text (object, "on_deadline", self->on_deadline);
  members_set_text (object, "on_error", self->on_error);
  members_set_text (object, "name", self->name);
  members_set_flag (object, "discard_points", self->discard_points);
  members_set_flag (object, "discard", self->discard);
  if (self->no_reset)
    json_object_set_boolean_member (object, "reset", FALSE);
  return g_steal_pointer (&object);
}

/**
 * chain_options_parse:
 * @self: where the options go
 * @cli: the daemon
 * @command: the command
 * @flags: which options there are; those about waiting always are
 * @more: (nullable): the command's own, ended by one without a name
 * @arguments: (inout): the words behind the command's name; those that are no options are left
 * @error: return location
 *
 * Returns: (transfer full): the request as far as @self says it; on failure %NULL with
 *   %CLI_ERROR_USAGE
 */
JsonObject *
chain_options_parse (ChainOptions         *self,
                     Cli                  *cli,
                     const Command        *command,
                     ChainOptionsFlags     flags,
                     const GOptionEntry   *more,
                     char               ***arguments,
                     GError              **error)
{
  g_autofree GOptionEntry *entries = list_entries (self, flags, more);

  if (!options_parse (cli, command, entries, arguments, error))
    return NULL;
  return describe (self, error);
}

/**
 * chain_options_ask:
 * @self: whether it is a dry run, whether to wait, and under which key
 * @cli: the daemon
 * @method: an HTTP method
 * @guest: the guest
 * @rest: of the path, escaped
 * @request: (transfer full): the body
 * @error: return location
 *
 * Returns: whether it was done, has begun, or could be; else a %CLI_ERROR
 */
gboolean
chain_options_ask (const ChainOptions  *self,
                   Cli                 *cli,
                   const char          *method,
                   const char          *guest,
                   const char          *rest,
                   JsonObject          *request,
                   GError             **error)
{
  gboolean dry_run = self->dry_run || cli->dry_run;
  g_autofree char *path = client_path ("guests", guest, rest);
  g_autoptr (JsonNode) answer = NULL;
  JsonNode *body = json_node_new (JSON_NODE_OBJECT);

  members_set_flag (request, "dry_run", dry_run);
  json_node_take_object (body, request);
  answer = client_ask (cli->client, method, path, body, self->idempotency_key, NULL, error);
  if (answer == NULL)
    return FALSE;
  if (!dry_run)
    return wait_and_print (cli, g_steal_pointer (&answer), !self->no_wait, report_print_done,
                           error);

  if (cli->json)
    output_json (answer);
  else
    report_print_plan (json_node_get_object (answer));
  return TRUE;
}
