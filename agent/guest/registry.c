/* SPDX-License-Identifier: Apache-2.0 */

/* Knows all guests, and how they come and go. */

#include "registry-private.h"

#include <core/error.h>
#include <sys/stat.h>

G_DEFINE_TYPE (GuestRegistry, guest_registry, G_TYPE_OBJECT)

enum
{
  SIGNAL_GUEST_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

static void add_watched (GuestRegistry *self, const char *path);

/* --- Coming and going --- */

static void
log_state (Guest *guest)
{
  QmpClient *client = guest_get_client (guest);

  if (client != NULL)
    g_info ("guest: %s is attached on %s (QEMU %s, process %d)", guest_get_id (guest),
            guest_get_config (guest)->monitor, qmp_client_get_version (client),
            guest_get_pid (guest));
  else
    g_info ("guest: %s is %s: %s", guest_get_id (guest),
            guest_state_to_string (guest_get_state (guest)), guest_get_error (guest)->message);
}

/**
 * registry_tell:
 * @self: a registry
 * @guest: a guest that has come, gone, been refused or removed
 *
 * Tells everybody.
 */
void
registry_tell (GuestRegistry *self,
               Guest         *guest)
{
  log_state (guest);
  g_signal_emit (self, signals[SIGNAL_GUEST_CHANGED], 0, guest);
}

/**
 * registry_remove:
 * @self: a registry
 * @guest: one of its guests
 *
 * Lets go of @guest, and tells.
 */
void
registry_remove (GuestRegistry *self,
                 Guest         *guest)
{
  g_autoptr (Guest) hold = g_object_ref (guest);

  g_signal_handlers_disconnect_by_data (guest, self);
  guest_stop (guest);
  g_ptr_array_remove (self->guests, guest);
  registry_tell (self, guest);
}

static gboolean
socket_exists (Guest *guest)
{
  struct stat status;

  return lstat (guest_get_config (guest)->monitor, &status) == 0;
}

/* TRUE when the guest, which came by watching, has been forgotten. */
static gboolean
forget_watched (GuestRegistry *self,
                Guest         *guest)
{
  if (guest_get_origin (guest) != GUEST_ORIGIN_WATCH || guest_get_state (guest) == GUEST_ATTACHED)
    return FALSE;

  if (!socket_exists (guest))
    {
      registry_remove (self, guest);
      return TRUE;
    }

  /* Nobody asked for the guest that was there, so the new one is as good. */
  if (guest_is_replaced (guest))
    {
      registry_remove (self, guest);
      add_watched (self, guest_get_config (guest)->monitor);
      return TRUE;
    }

  return FALSE;
}

static void
on_guest_state (Guest    *guest,
                gpointer  user_data)
{
  g_autoptr (GuestRegistry) self = g_object_ref (user_data);
  g_autoptr (Guest) hold = g_object_ref (guest);
  g_autoptr (GError) doubt = NULL;

  if (guest_get_state (guest) == GUEST_ATTACHED)
    doubt = registry_check_attached (self, guest);

  if (doubt == NULL)
    {
      if (!forget_watched (self, guest))
        registry_tell (self, guest);
      return;
    }

  g_message ("guest: %s is not taken: %s", guest_get_config (guest)->monitor, doubt->message);
  if (guest_get_origin (guest) == GUEST_ORIGIN_WATCH)
    {
      g_hash_table_add (self->ignored, g_strdup (guest_get_config (guest)->monitor));
      registry_remove (self, guest);
    }
  else
    guest_refuse (guest, g_steal_pointer (&doubt));     /* comes back here, refused */
}

/**
 * registry_add:
 * @self: a registry
 * @guest: a guest that nothing is the matter with
 *
 * Takes a reference to @guest and follows it.
 */
void
registry_add (GuestRegistry *self,
              Guest         *guest)
{
  g_ptr_array_add (self->guests, g_object_ref (guest));
  g_signal_connect (guest, "state-changed", G_CALLBACK (on_guest_state), self);
}

/* --- Watching --- */

static void
add_watched (GuestRegistry *self,
             const char    *path)
{
  g_autoptr (GuestConfig) config = guest_config_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (Guest) guest = NULL;

  config->monitor = g_strdup (path);
  if (registry_is_agent_socket (self, path) || !registry_check_config (self, config, &error))
    {
      g_debug ("guest: socket %s is left alone: %s", path,
               error != NULL ? error->message : "it is a guest agent's");
      return;
    }

  guest = guest_new (config, self->cache);
  guest_set_origin (guest, GUEST_ORIGIN_WATCH);
  registry_add (self, guest);
  guest_start (guest);
}

static void
on_socket_added (SocketWatch *watch,
                 const char  *path,
                 gpointer     user_data)
{
  GuestRegistry *self = user_data;

  if (!g_hash_table_contains (self->ignored, path))
    add_watched (self, path);
}

static void
on_socket_removed (SocketWatch *watch,
                   const char  *path,
                   gpointer     user_data)
{
  GuestRegistry *self = user_data;
  Guest *guest = registry_find_by_monitor (self, path);

  g_hash_table_remove (self->ignored, path);

  /* Another one may be there already, under the same name: it comes as added. An attached guest
   * stays until it is gone, for a link does not need the file. */
  if (guest != NULL && guest_get_origin (guest) == GUEST_ORIGIN_WATCH &&
      guest_get_state (guest) != GUEST_ATTACHED)
    registry_remove (self, guest);
}

/**
 * registry_make_watch:
 * @self: a registry
 * @pattern: a good one
 *
 * Returns: (transfer full): a watch that tells @self, not yet started
 */
SocketWatch *
registry_make_watch (GuestRegistry *self,
                const char    *pattern)
{
  SocketWatch *watch = socket_watch_new (pattern, SOCKET_WATCH_PATTERN);

  g_signal_connect (watch, "added", G_CALLBACK (on_socket_added), self);
  g_signal_connect (watch, "removed", G_CALLBACK (on_socket_removed), self);

  return watch;
}

/**
 * registry_end_watch:
 * @self: a registry
 * @watch: one of its watches
 *
 * Hears no more of @watch. What came by it stays.
 */
void
registry_end_watch (GuestRegistry *self,
                  SocketWatch   *watch)
{
  g_signal_handlers_disconnect_by_data (watch, self);
  socket_watch_stop (watch);
}

/**
 * guest_registry_new:
 * @journal: where guests that are attached by request are kept
 *
 * Returns: (transfer full): a registry without guests
 */
GuestRegistry *
guest_registry_new (Journal *journal)
{
  GuestRegistry *self = g_object_new (TYPE_GUEST_REGISTRY, NULL);

  self->journal = g_object_ref (journal);

  return self;
}

/* --- Looking up --- */

/**
 * guest_registry_find:
 * @self: a registry
 * @name: an id, UUID or name
 * @error: return location
 *
 * An id goes before the names of others.
 *
 * Returns: (transfer none): the guest; %NULL with AGENT_ERROR_NOT_FOUND, or with
 *   AGENT_ERROR_CONFLICT when several are called so
 */
Guest *
guest_registry_find (GuestRegistry  *self,
                     const char     *name,
                     GError        **error)
{
  g_autoptr (GString) ids = g_string_new (NULL);
  Guest *found = NULL;
  guint n = 0;

  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (self->guests, i);

      if (guest_has_id (guest) && g_str_equal (guest_get_id (guest), name))
        return guest;

      if (!guest_answers_to (guest, name))
        continue;

      found = guest;
      n++;
      g_string_append_printf (ids, "%s%s on %s", n > 1 ? ", " : "", guest_get_id (guest),
                              guest_get_config (guest)->monitor);
    }

  if (n == 1)
    return found;

  if (n == 0)
    agent_set_error (error, AGENT_ERROR_NOT_FOUND, "List the guests to see what is attached.",
                     "there is no guest \"%s\"", name);
  else
    agent_set_error (error, AGENT_ERROR_CONFLICT, "Name it by its id or UUID.",
                     "%u guests are called \"%s\": %s", n, name, ids->str);

  return NULL;
}

/**
 * guest_registry_list:
 * @self: a registry
 *
 * Returns: (transfer full): all guests, in the order in which they became known
 */
GPtrArray *
guest_registry_list (GuestRegistry *self)
{
  g_autoptr (GPtrArray) guests = g_ptr_array_new_full (self->guests->len, g_object_unref);

  for (guint i = 0; i < self->guests->len; i++)
    g_ptr_array_add (guests, g_object_ref (g_ptr_array_index (self->guests, i)));

  return g_steal_pointer (&guests);
}

/* --- The object --- */

/**
 * guest_registry_stop:
 * @self: a registry
 *
 * Lets go of all guests without forgetting any; requests that wait fail.
 */
void
guest_registry_stop (GuestRegistry *self)
{
  g_clear_handle_id (&self->settle_id, g_source_remove);
  for (guint i = 0; i < self->watches->len; i++)
    registry_end_watch (self, g_ptr_array_index (self->watches, i));
  g_ptr_array_set_size (self->watches, 0);
  g_ptr_array_set_size (self->wanted, 0);
  self->unsettled = FALSE;

  registry_fail_attaching (self);

  for (guint i = 0; i < self->guests->len; i++)
    {
      g_signal_handlers_disconnect_by_data (g_ptr_array_index (self->guests, i), self);
      guest_stop (g_ptr_array_index (self->guests, i));
    }
  g_ptr_array_set_size (self->guests, 0);
}

static void
guest_registry_dispose (GObject *object)
{
  GuestRegistry *self = AGENT_GUEST_REGISTRY (object);

  guest_registry_stop (self);
  g_clear_object (&self->journal);
  g_clear_object (&self->cache);

  G_OBJECT_CLASS (guest_registry_parent_class)->dispose (object);
}

static void
guest_registry_finalize (GObject *object)
{
  GuestRegistry *self = AGENT_GUEST_REGISTRY (object);

  g_clear_pointer (&self->guests, g_ptr_array_unref);
  g_clear_pointer (&self->attaching, g_ptr_array_unref);
  g_clear_pointer (&self->watches, g_ptr_array_unref);
  g_clear_pointer (&self->ignored, g_hash_table_unref);
  g_clear_pointer (&self->wanted, g_ptr_array_unref);

  G_OBJECT_CLASS (guest_registry_parent_class)->finalize (object);
}

static void
guest_registry_class_init (GuestRegistryClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = guest_registry_dispose;
  object_class->finalize = guest_registry_finalize;

  signals[SIGNAL_GUEST_CHANGED] =
    g_signal_new ("guest-changed", TYPE_GUEST_REGISTRY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, TYPE_GUEST);
}

static void
guest_registry_init (GuestRegistry *self)
{
  self->cache = qmp_feature_cache_new ();
  self->guests = g_ptr_array_new_with_free_func (g_object_unref);
  self->attaching = g_ptr_array_new_with_free_func (g_object_unref);
  self->watches = g_ptr_array_new_with_free_func (g_object_unref);
  self->ignored = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->wanted = g_ptr_array_new_with_free_func ((GDestroyNotify) guest_config_free);
}
