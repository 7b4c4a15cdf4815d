/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the registry comes to what the configuration says, when the daemon starts and whenever
 * it is read again: each step looks at what is still another, so that what has to wait, because
 * somebody works on a guest, is done by taking the same steps later. */

#include "registry-private.h"

#include "address.h"
#include "guest-records.h"

#include <core/error.h>

/* --- Checking --- */

static GuestConfig *
find_wanted (GPtrArray  *wanted,
             const char *id,
             const char *monitor)
{
  for (guint i = 0; i < wanted->len; i++)
    {
      GuestConfig *each = g_ptr_array_index (wanted, i);

      if (g_strcmp0 (each->id, id) == 0 || g_strcmp0 (each->monitor, monitor) == 0)
        return each;
    }

  return NULL;
}

/* (element-type GuestConfig) (transfer full): the guests of @config, with normal addresses */
static GPtrArray *
read_guests (const Config  *config,
             GError       **error)
{
  g_autoptr (GPtrArray) guests =
      g_ptr_array_new_with_free_func ((GDestroyNotify) guest_config_free);

  for (guint i = 0; config->guests != NULL && i < config->guests->len; i++)
    {
      g_autoptr (GuestConfig) each = registry_dup_normal (g_ptr_array_index (config->guests, i));
      const GuestConfig *other = find_wanted (guests, each->id, each->monitor);

      if (!guest_config_check (each, error))
        {
          g_prefix_error (error, "[guest %s]: ", each->id);
          return NULL;
        }

      if (other != NULL)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "Remove one of them.",
                           "[guest %s] and [guest %s] have the same %s", each->id, other->id,
                           g_str_equal (each->id, other->id) ? "id" : "monitor");
          return NULL;
        }

      g_ptr_array_add (guests, g_steal_pointer (&each));
    }

  return g_steal_pointer (&guests);
}

static gboolean
check_patterns (const Config  *config,
                GError       **error)
{
  for (guint i = 0; config->watch != NULL && config->watch[i] != NULL; i++)
    if (!g_path_is_absolute (config->watch[i]))
      {
        agent_set_error (error, AGENT_ERROR_INVALID, "Give absolute paths in [watch] sockets.",
                         "\"%s\" cannot be watched: it is no absolute path", config->watch[i]);
        return FALSE;
      }

  return TRUE;
}

/**
 * guest_registry_check:
 * @config: a configuration
 * @error: return location
 *
 * Returns: whether a registry could go over to @config; else AGENT_ERROR_INVALID, or
 *   AGENT_ERROR_CONFLICT when two of its guests have the same id or socket
 */
gboolean
guest_registry_check (const Config  *config,
                      GError       **error)
{
  g_autoptr (GPtrArray) guests = read_guests (config, error);

  return guests != NULL && check_patterns (config, error);
}

/* --- Guests that go, or change --- */

static gboolean
has_same_address (Guest             *guest,
                  const GuestConfig *wanted)
{
  const GuestConfig *config = guest_get_config (guest);

  return g_strcmp0 (config->monitor, wanted->monitor) == 0 &&
         (config->uuid == NULL) == (wanted->uuid == NULL) &&
         (config->uuid == NULL || g_ascii_strcasecmp (config->uuid, wanted->uuid) == 0);
}

static void
part_with (GuestRegistry *self,
           Guest         *guest,
           const char    *why)
{
  if (self->busy != NULL && self->busy (guest, self->busy_data))
    {
      if (self->tells)
        g_message ("guest: %s %s; it stays as it is until the operation on it has ended",
                   guest_get_id (guest), why);
      self->unsettled = TRUE;
      return;
    }

  g_message ("guest: %s %s: it is let go of", guest_get_id (guest), why);
  registry_remove (self, guest);
}

static gboolean
is_watched (GuestRegistry *self,
            Guest         *guest)
{
  for (guint i = 0; i < self->watches->len; i++)
    if (socket_watch_matches (g_ptr_array_index (self->watches, i),
                              guest_get_config (guest)->monitor))
      return TRUE;

  return FALSE;
}

/* The guest that the configuration has is this one, as far as it is here. */
static void
follow (GuestRegistry     *self,
        Guest             *guest,
        const GuestConfig *wanted)
{
  gboolean was_ours = guest_get_origin (guest) == GUEST_ORIGIN_CONFIG;

  if (!guest_has_id (guest) || !g_str_equal (guest_get_id (guest), wanted->id) ||
      !has_same_address (guest, wanted))
    {
      part_with (self, guest, "is described otherwise by the configuration now");
      return;
    }

  if (was_ours && guest_config_equal (guest_get_config (guest), wanted))
    return;

  guest_set_config (guest, wanted);
  guest_set_origin (guest, GUEST_ORIGIN_CONFIG);
  g_message ("guest: %s goes on with the settings of the configuration", guest_get_id (guest));
  g_signal_emit_by_name (self, "guest-changed", guest);
}

static void
look_at_guest (GuestRegistry *self,
               Guest         *guest)
{
  const GuestConfig *wanted =
      find_wanted (self->wanted, guest_has_id (guest) ? guest_get_id (guest) : "",
                   guest_get_config (guest)->monitor);

  if (wanted != NULL)
    follow (self, guest, wanted);
  else if (guest_get_origin (guest) == GUEST_ORIGIN_CONFIG)
    part_with (self, guest, "is no more in the configuration");
  else if (guest_get_origin (guest) == GUEST_ORIGIN_WATCH && !is_watched (self, guest))
    part_with (self, guest, "is no more where sockets are watched");
}

/* --- Guests that come --- */

static gboolean
is_there (GuestRegistry *self,
          const char    *id)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (self->guests, i);

      if (g_strcmp0 (guest_get_config (guest)->id, id) == 0)
        return TRUE;
    }

  return FALSE;
}

static Guest *
bring (GuestRegistry     *self,
       const GuestConfig *config,
       GuestOrigin        origin,
       GError           **error)
{
  g_autoptr (Guest) guest = NULL;

  if (!registry_check_config (self, config, error))
    return NULL;

  guest = guest_new (config, self->cache);
  guest_set_origin (guest, origin);
  registry_add (self, guest);

  return guest;
}

static void
bring_wanted (GuestRegistry *self)
{
  for (guint i = 0; i < self->wanted->len; i++)
    {
      const GuestConfig *wanted = g_ptr_array_index (self->wanted, i);
      g_autoptr (GError) error = NULL;

      if (is_there (self, wanted->id) ||
          bring (self, wanted, GUEST_ORIGIN_CONFIG, &error) != NULL)
        continue;

      if (self->tells)
        g_message ("guest: %s of the configuration has to wait: %s", wanted->id, error->message);
      self->unsettled = TRUE;
    }
}

/* @records: (element-type GuestRecord): of guests that were attached by request */
static void
bring_recorded (GuestRegistry *self,
                GPtrArray     *records)
{
  for (guint i = 0; i < records->len; i++)
    {
      GuestRecord *record = g_ptr_array_index (records, i);
      g_autoptr (GError) doubt = NULL;
      Guest *guest;

      if (is_there (self, record->config->id))
        continue;

      /* The configuration was written by hand, perhaps to replace just this. */
      guest = bring (self, record->config, GUEST_ORIGIN_REQUEST, &doubt);
      if (guest != NULL)
        identity_restore (guest_get_identity (guest), record->uuid, record->name);
      else
        g_message ("guest: %s, attached by request, is left out: %s", record->config->id,
                   doubt->message);
    }
}

/* --- Watches --- */

static SocketWatch *
find_watch (GuestRegistry *self,
            const char    *pattern)
{
  for (guint i = 0; i < self->watches->len; i++)
    {
      SocketWatch *watch = g_ptr_array_index (self->watches, i);

      if (g_str_equal (socket_watch_get_pattern (watch), pattern))
        return watch;
    }

  return NULL;
}

static void
change_watches (GuestRegistry *self,
                char         **patterns)
{
  const char *const none[] = { NULL };
  const char *const *wanted = patterns != NULL ? (const char *const *) patterns : none;

  for (guint i = self->watches->len; i > 0; i--)
    {
      SocketWatch *watch = g_ptr_array_index (self->watches, i - 1);

      if (g_strv_contains (wanted, socket_watch_get_pattern (watch)))
        continue;

      registry_end_watch (self, watch);
      g_ptr_array_remove_index (self->watches, i - 1);
    }

  for (guint i = 0; wanted[i] != NULL; i++)
    if (find_watch (self, wanted[i]) == NULL)
      g_ptr_array_add (self->watches, registry_make_watch (self, wanted[i]));
}

/* --- All of it --- */

static void
settle (GuestRegistry *self,
        GPtrArray     *records)
{
  g_autoptr (GPtrArray) guests = guest_registry_list (self);

  self->unsettled = FALSE;
  self->tells = records != NULL;

  for (guint i = 0; i < guests->len; i++)
    look_at_guest (self, g_ptr_array_index (guests, i));
  g_clear_pointer (&guests, g_ptr_array_unref);

  bring_wanted (self);
  if (records != NULL)
    bring_recorded (self, records);

  /* A guest's state may come to be known from here on, and others be removed for it. */
  guests = guest_registry_list (self);
  for (guint i = 0; i < guests->len; i++)
    if (g_ptr_array_find (self->guests, g_ptr_array_index (guests, i), NULL))
      guest_start (g_ptr_array_index (guests, i));

  for (guint i = 0; i < self->watches->len; i++)
    socket_watch_start (g_ptr_array_index (self->watches, i));
  for (guint i = 0; i < self->watches->len; i++)
    socket_watch_repeat (g_ptr_array_index (self->watches, i));
}

static gboolean
settle_now (gpointer user_data)
{
  GuestRegistry *self = user_data;

  self->settle_id = 0;
  settle (self, NULL);

  return G_SOURCE_REMOVE;
}

/**
 * guest_registry_settle:
 * @self: a registry
 *
 * Has what the configuration says, and what had to wait, done from the main loop, as far as it can
 * be now.
 */
void
guest_registry_settle (GuestRegistry *self)
{
  if (self->unsettled && self->settle_id == 0)
    self->settle_id = g_idle_add (settle_now, self);
}

/**
 * guest_registry_set_busy_func:
 * @self: a registry
 * @busy: (nullable): whether somebody works on a guest
 * @user_data: for @busy
 *
 * Guests on which somebody works stay, whatever the configuration says.
 */
void
guest_registry_set_busy_func (GuestRegistry *self,
                              GuestBusyFunc  busy,
                              gpointer       user_data)
{
  self->busy = busy;
  self->busy_data = user_data;
}

/**
 * guest_registry_start:
 * @self: a registry
 * @config: the guests and patterns of the configuration
 * @error: return location
 *
 * Begins to look for the guests that @config and the journal name, and for those whose sockets
 * match. When it has begun before, it goes over to @config: guests come and go, and those whose
 * monitor and UUID are the same keep their links. A guest that has to go, or to come back with
 * another address, does so when nobody works on it any more.
 *
 * Returns: %FALSE, with nothing changed, with AGENT_ERROR_INVALID, AGENT_ERROR_CONFLICT when two
 *   guests of @config have the same id or socket, or AGENT_ERROR_INTERNAL
 */
gboolean
guest_registry_start (GuestRegistry  *self,
                      const Config   *config,
                      GError        **error)
{
  g_autoptr (GPtrArray) wanted = read_guests (config, error);
  g_autoptr (GPtrArray) records = NULL;

  if (wanted == NULL || !check_patterns (config, error))
    return FALSE;

  records = guest_records_load (self->journal, error);
  if (records == NULL)
    return FALSE;

  g_ptr_array_unref (self->wanted);
  self->wanted = g_steal_pointer (&wanted);
  change_watches (self, config->watch);
  settle (self, records);

  return TRUE;
}
