/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the order in which the daemon's parts come and go, and go over to other settings. */

#include "daemon.h"

#include "notify.h"

#include <core/engine.h>
#include <core/error.h>
#include <core/journal.h>
#include <core/settings.h>
#include <guest/registry.h>
#include <image/source.h>
#include <image/stores.h>
#include <operations/operations.h>
#include <rest/server.h>

#include <glib-unix.h>

#include <errno.h>
#include <signal.h>

#define STOP_GRACE  30          /* seconds until a guest is left standing where it is */
#define AGAIN_GRACE 2           /* seconds for answers that are on their way */

typedef struct
{
  DaemonLoad     load;
  gpointer       load_data;
  Log           *log;

  Settings      *settings;
  Journal       *journal;
  Engine        *engine;
  ImageStore    *store;
  GuestRegistry *guests;
  Operations    *operations;
  RestServer    *rest;

  GMainLoop     *loop;
  DaemonEnd      end;
  gboolean       stopping;
  guint          grace;         /* source, while an operation may come to a good place */
  guint          writes_left;   /* for tests: until we kill ourselves */
} Daemon;

/* --- parts --- */

/* For tests of recovery: with QSNAPD_TEST_KILL_AT_JOURNAL_WRITE=N the daemon dies at its N-th
 * durable write, before it is made. */
static gboolean
count_down (Journal  *journal,
            gpointer  user_data,
            GError  **error)
{
  Daemon *self = user_data;

  if (--self->writes_left == 0)
    raise (SIGKILL);
  return TRUE;
}

static gboolean
open_journal (Daemon        *self,
              const Config  *config,
              GError       **error)
{
  g_autofree char *path = g_build_filename (config->state_folder, JOURNAL_FILE, NULL);
  const char *kill_at = g_getenv ("QSNAPD_TEST_KILL_AT_JOURNAL_WRITE");
  g_autoptr (GError) problem = NULL;
  guint64 writes;

  if (g_mkdir_with_parents (config->state_folder, 0700) != 0)
    {
      int code = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "[daemon] state: %s: %s",
                   config->state_folder, g_strerror (code));
      return FALSE;
    }

  self->journal = journal_open (path, &problem);
  if (g_error_matches (problem, AGENT_ERROR, AGENT_ERROR_DAMAGED))
    {
      g_warning ("%s: nothing is changed until that is put right: %s", problem->message,
                 agent_error_get_hint (problem) != NULL ? agent_error_get_hint (problem) : "");
      self->journal = journal_open_damaged (path, problem, error);
    }
  else if (self->journal == NULL)
    g_propagate_error (error, g_steal_pointer (&problem));
  if (self->journal == NULL)
    return FALSE;

  if (kill_at != NULL && g_ascii_string_to_unsigned (kill_at, 10, 1, G_MAXUINT, &writes, NULL))
    {
      self->writes_left = (guint) writes;
      journal_set_hook (self->journal, count_down, self);
    }
  return TRUE;
}

static ImageStore *
open_store (const Config  *config,
            GError       **error)
{
  const GlanceStoreSettings glance = {
    .url = config->glance_url,
    .token_file = config->glance_token_file,
    .cloud = config->glance_cloud,
    .clouds_file = config->glance_clouds_file,
    .ca_file = config->glance_ca_file,
    .timeout_s = config->glance_timeout_s,
    .deadline_s = config->glance_deadline_s,
    .transfers = config->transfers,
  };

  if (g_str_equal (config->store, "glance"))
    return glance_store_new (&glance, error);
  return folder_store_new (config->store_folder, config->transfers, error);
}

static void
guest_changed (GuestRegistry *guests,
               Guest         *guest,
               gpointer       user_data)
{
  Daemon *self = user_data;

  /* What waits for one that is gone for good need not wait any more. */
  if (guest_get_state (guest) == GUEST_ATTACHED || !guest_last_process_is_alive (guest))
    engine_recover (self->engine, guest_get_id (guest));
}

static gboolean
guest_is_busy (Guest    *guest,
               gpointer  user_data)
{
  Daemon *self = user_data;
  g_autoptr (GPtrArray) operations = engine_list (self->engine, guest_get_id (guest));

  for (guint i = 0; i < operations->len; i++)
    if (!operation_is_finished (g_ptr_array_index (operations, i)))
      return TRUE;
  return FALSE;
}

static void
operation_changed (Engine    *engine,
                   Operation *operation,
                   gpointer   user_data)
{
  Daemon *self = user_data;

  if (self->stopping && self->end == DAEMON_ENDED && !engine_is_holding (self->engine))
    g_main_loop_quit (self->loop);
  else if (operation_is_finished (operation))
    guest_registry_settle (self->guests);
}

/* --- other settings --- */

static void
log_reload (char **changes,
            char **waiting)
{
  g_autofree char *changed = g_strjoinv (", ", changes);
  g_autofree char *later = g_strjoinv (", ", waiting);

  g_message ("the settings have been read again; changed: %s",
             changes[0] != NULL ? changed : "nothing");
  if (waiting[0] != NULL)
    g_warning ("%s: only a restart of the daemon changes that; the old value holds until then",
               later);
}

/* Everything that can be refused is refused before anything is changed. */
static gboolean
take_settings (Settings  *settings,
               gpointer   user_data,
               GError   **error)
{
  Daemon *self = user_data;
  const Config *before = settings_get (settings);
  g_autoptr (Config) after = self->load (self->load_data, error);
  g_autoptr (ImageStore) store = NULL;
  g_auto (GStrv) waiting = NULL;
  g_auto (GStrv) changes = NULL;

  if (after == NULL)
    return FALSE;

  waiting = config_keep_fixed (after, before);
  changes = config_list_changes (before, after);
  if (!guest_registry_check (after, error))
    return FALSE;
  /* Also for what stands in files that the settings only name. */
  store = open_store (after, error);
  if (store == NULL || !rest_server_reload (self->rest, after, store, error) ||
      !guest_registry_start (self->guests, after, error))
    return FALSE;

  g_set_object (&self->store, store);
  operations_set_store (self->operations, store);
  settings_replace (settings, after, (const char *const *) waiting);
  log_reload (changes, waiting);
  log_set_level (self->log, after->log_level);
  return TRUE;
}

static gboolean
told_to_reload (gpointer user_data)
{
  Daemon *self = user_data;
  g_autofree char *reloading = g_strdup_printf ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT,
                                                g_get_monotonic_time ());
  g_autoptr (GError) error = NULL;

  if (self->stopping)
    return G_SOURCE_CONTINUE;

  notify_manager (reloading);
  if (!settings_reload (self->settings, &error))
    g_warning ("the settings stay as they are: %s", error->message);
  notify_manager ("READY=1");
  return G_SOURCE_CONTINUE;
}

/* --- coming and going --- */

static void
begin_stopping (Daemon   *self,
                DaemonEnd end)
{
  self->stopping = TRUE;
  self->end = end;
  settings_set_reload (self->settings, NULL, NULL);
  rest_server_stop (self->rest);
}

static void
answers_are_out (RestServer *rest,
                 gpointer    user_data)
{
  Daemon *self = user_data;

  if (self->stopping && self->end == DAEMON_AGAIN)
    g_main_loop_quit (self->loop);
}

static gboolean
answers_are_late (gpointer user_data)
{
  Daemon *self = user_data;

  self->grace = 0;
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static void
journal_rebuilt (Operations *operations,
                 gpointer    user_data)
{
  Daemon *self = user_data;

  if (self->stopping)
    return;

  g_message ("the journal has been rebuilt: the daemon begins anew with it");
  begin_stopping (self, DAEMON_AGAIN);
  if (rest_server_is_idle (self->rest))
    g_main_loop_quit (self->loop);
  else
    self->grace = g_timeout_add_seconds (AGAIN_GRACE, answers_are_late, self);
}

static gboolean
daemon_start (Daemon        *self,
              const Config  *config,
              GError       **error)
{
  if (!open_journal (self, config, error))
    return FALSE;

  /* The journal is ours alone, and so is its folder. */
  if (journal_get_damage (self->journal) == NULL)
    flat_source_clean_up (config->state_folder);
  self->store = open_store (config, error);
  if (self->store == NULL)
    return FALSE;

  self->engine = engine_new (self->journal);
  self->guests = guest_registry_new (self->journal);
  self->operations = operations_new (self->settings, self->journal, self->engine, self->guests,
                                     self->store);
  guest_registry_set_busy_func (self->guests, guest_is_busy, self);
  g_signal_connect (self->guests, "guest-changed", G_CALLBACK (guest_changed), self);
  g_signal_connect (self->engine, "operation", G_CALLBACK (operation_changed), self);
  g_signal_connect (self->operations, "journal-rebuilt", G_CALLBACK (journal_rebuilt), self);

  if (!engine_load (self->engine, error))
    return FALSE;

  /* Requests are taken once the main loop runs; that they can be shows before anything is done. */
  self->rest = rest_server_new (self->operations);
  g_signal_connect (self->rest, "idle", G_CALLBACK (answers_are_out), self);
  if (!rest_server_start (self->rest, error) ||
      !guest_registry_start (self->guests, config, error))
    return FALSE;

  engine_recover (self->engine, NULL);
  settings_set_reload (self->settings, take_settings, self);
  return TRUE;
}

static void
daemon_stop (Daemon *self)
{
  g_clear_handle_id (&self->grace, g_source_remove);
  settings_set_reload (self->settings, NULL, NULL);
  if (self->engine != NULL)
    g_signal_handlers_disconnect_by_data (self->engine, self);
  if (self->operations != NULL)
    g_signal_handlers_disconnect_by_data (self->operations, self);
  if (self->rest != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->rest, self);
      rest_server_stop (self->rest);
    }
  if (self->guests != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->guests, self);
      guest_registry_set_busy_func (self->guests, NULL, NULL);
      guest_registry_stop (self->guests);
    }

  g_clear_object (&self->rest);
  g_clear_object (&self->operations);
  g_clear_object (&self->guests);
  g_clear_object (&self->engine);
  g_clear_object (&self->store);
  if (self->journal != NULL)
    journal_set_hook (self->journal, NULL, NULL);
  g_clear_object (&self->journal);
  g_clear_object (&self->settings);
}

static gboolean
grace_is_over (gpointer user_data)
{
  Daemon *self = user_data;

  g_warning ("stopping in the middle of an operation; the next start takes it up");
  self->grace = 0;
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

/* Block jobs stay in QEMU, and transfers are begun anew or gone on with by the next start: all that
 * is waited for is that no guest is left standing. */
static gboolean
told_to_stop (gpointer user_data)
{
  Daemon *self = user_data;

  if (self->stopping && self->end == DAEMON_ENDED)
    return G_SOURCE_CONTINUE;

  g_message ("told to stop");
  notify_manager ("STOPPING=1");
  g_clear_handle_id (&self->grace, g_source_remove);
  begin_stopping (self, DAEMON_ENDED);
  if (!engine_is_holding (self->engine))
    g_main_loop_quit (self->loop);
  else
    self->grace = g_timeout_add_seconds (STOP_GRACE, grace_is_over, self);
  return G_SOURCE_CONTINUE;
}

/**
 * daemon_run:
 * @config: the settings
 * @load: reads them again when SIGHUP or a request says so
 * @user_data: for @load
 * @log: the log, whose level is a setting
 * @error: return location
 *
 * Runs the daemon until SIGTERM or SIGINT, or until it has to begin anew.
 *
 * Returns: how it has ended; with @error when it could not begin, AGENT_ERROR_INVALID for a setting
 *   that cannot hold
 */
DaemonEnd
daemon_run (const Config  *config,
            DaemonLoad     load,
            gpointer       user_data,
            Log           *log,
            GError       **error)
{
  Daemon self = { .load = load, .load_data = user_data, .log = log };
  guint signals[] = {
    g_unix_signal_add (SIGTERM, told_to_stop, &self),
    g_unix_signal_add (SIGINT, told_to_stop, &self),
    g_unix_signal_add (SIGHUP, told_to_reload, &self),
  };

  self.settings = settings_new (config);
  self.loop = g_main_loop_new (NULL, FALSE);
  if (daemon_start (&self, config, error))
    {
      g_message ("qsnapd %s listens at %s", QSNAPD_VERSION, config->socket);
      notify_manager ("READY=1");
      g_main_loop_run (self.loop);
    }

  daemon_stop (&self);
  g_main_loop_unref (self.loop);
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    g_source_remove (signals[i]);
  return self.end;
}
