/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which settings there are, in one table, and which of them go together. */

#include "config-private.h"

#include <core/error.h>

#include <string.h>

#define MINUTE_MS (60 * 1000)
#define DAY_S     (24 * 60 * 60)

#define DAEMON(type, field) CONFIG_##type, G_STRUCT_OFFSET (Config, field)
#define GUEST(type, field)  CONFIG_##type, G_STRUCT_OFFSET (GuestConfig, field)

const ConfigKey config_keys[] = {
  { "daemon",   "state",          DAEMON (PATH, state_folder), "/var/lib/qsnapd", 0, 0, NULL },
  { "daemon",   "transfers",      DAEMON (COUNT, transfers), "2", 1, 64, NULL },
  { "daemon",   "storage-daemon", DAEMON (TEXT, storage_daemon), "qemu-storage-daemon", 0, 0,
    NULL },
  { "daemon",   "max-chain-length", DAEMON (COUNT, max_chain_length), "3", 0, CHAIN_LONGEST,
    NULL },
  { "daemon",   "log",            DAEMON (WORD, log_level), "info", 0, 0,
    "error warning info debug" },
  { "daemon",   "scan-folders",   DAEMON (PATHS, scan_folders), "", 0, 0, NULL },
  { "daemon",   "reserve",        DAEMON (BYTES, reserve), "1GiB", 0, 0, NULL },
  { "daemon",   "wait-for-room",  DAEMON (SECONDS, wait_for_room_s), "30min", 1, DAY_S, NULL },

  { "rest",     "socket",         DAEMON (PATH, socket), "/run/qsnapd/qsnapd.sock", 0, 0, NULL },
  { "rest",     "group",          DAEMON (TEXT, socket_group), NULL, 0, 0, NULL },
  { "rest",     "listen",         DAEMON (ADDRESS, listen), NULL, 0, 0, NULL },
  { "rest",     "token-file",     DAEMON (PATH, token_file), NULL, 0, 0, NULL },

  { "store",    "kind",           DAEMON (WORD, store), "folder", 0, 0, "folder glance" },
  { "store",    "folder",         DAEMON (PATH, store_folder), "/var/lib/qsnapd/images", 0, 0,
    NULL },

  { "glance",   "url",            DAEMON (URL, glance_url), NULL, 0, 0, NULL },
  { "glance",   "token-file",     DAEMON (PATH, glance_token_file), NULL, 0, 0, NULL },
  { "glance",   "cloud",          DAEMON (TEXT, glance_cloud), NULL, 0, 0, NULL },
  { "glance",   "clouds-file",    DAEMON (PATH, glance_clouds_file), NULL, 0, 0, NULL },
  { "glance",   "ca-file",        DAEMON (PATH, glance_ca_file), NULL, 0, 0, NULL },
  { "glance",   "timeout",        DAEMON (SECONDS, glance_timeout_s), "60s", 1, DAY_S, NULL },
  { "glance",   "deadline",       DAEMON (SECONDS, glance_deadline_s), "24h", 1, 30 * DAY_S, NULL },

  { "snapshot", "quiesce",        DAEMON (WORD, quiesce), "none", 0, 0, "none try require" },
  { "snapshot", "freeze-timeout", DAEMON (MILLISECONDS, freeze_timeout_ms), "10s", 1,
    10 * MINUTE_MS, NULL },
  { "snapshot", "thaw-after",     DAEMON (MILLISECONDS, thaw_after_ms), "15s", 1, 10 * MINUTE_MS,
    NULL },
  { "snapshot", "parents",        DAEMON (WORD, parents), "upload", 0, 0,
    "upload require ignore" },
  { "snapshot", "image-format",   DAEMON (WORD, image_format), "qcow2", 0, 0, "qcow2 raw" },
  { "snapshot", "converge-deadline", DAEMON (SECONDS, converge_deadline_s), "5min", 1, DAY_S,
    NULL },
  { "snapshot", "on-deadline",    DAEMON (WORD, on_deadline), "stop", 0, 0,
    "stop throttle leave" },

  { "watch",    "sockets",        DAEMON (PATHS, watch), "", 0, 0, NULL },

  { "guest",    "monitor",        GUEST (MONITOR, monitor), NULL, 0, 0, NULL },
  { "guest",    "agent",          GUEST (PATH, agent), NULL, 0, 0, NULL },
  { "guest",    "uuid",           GUEST (UUID, uuid), NULL, 0, 0, NULL },
  { "guest",    "overlay-folder", GUEST (PATH, overlay_folder), NULL, 0, 0, NULL },
  { "guest",    "allow-format-change", GUEST (BOOLEAN, allow_format_change), "false", 0, 0, NULL },
  { "guest",    "max-chain-length", GUEST (OPTIONAL_COUNT, max_chain_length), NULL, 0,
    CHAIN_LONGEST, NULL },

  { NULL, NULL, CONFIG_TEXT, 0, NULL, 0, 0, NULL },
};

/* Of a guest, beside those in the table: image-ref for all disks, image-ref.DISK for one. */
#define IMAGE_REF "image-ref"

/* While a configuration is read. */
typedef struct
{
  Config      *config;
  GuestConfig *guest;           /* (nullable): whose group this is */
  GPtrArray   *guest_lines;     /* where each guest begins */
  GHashTable  *lines;           /* "group.key", but a guest's -> where it stands */
} Reader;

static const ConfigKey *
find_key (const char *group,
          const char *key)
{
  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      if (g_str_equal (each->group, group) && g_str_equal (each->key, key))
        return each;
    }

  return NULL;
}

static char *
list_keys (const char *group)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      if (g_str_equal (each->group, group))
        g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", each->key);
    }

  if (g_str_equal (group, "guest"))
    g_string_append (list, ", " IMAGE_REF ", " IMAGE_REF ".DISK");

  return g_string_free (g_steal_pointer (&list), FALSE);
}

static char *
list_groups (void)
{
  g_autoptr (GString) list = g_string_new (NULL);
  const char *last = "guest";

  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      if (!g_str_equal (each->group, last) && !g_str_equal (each->group, "guest"))
        g_string_append_printf (list, "[%s], ", each->group);

      last = each->group;
    }

  g_string_append (list, "[guest NAME]");

  return g_string_free (g_steal_pointer (&list), FALSE);
}

static void
apply_defaults (gboolean    is_guest,
                gpointer    settings)
{
  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      g_autoptr (GError) error = NULL;

      if (g_str_equal (each->group, "guest") != is_guest)
        continue;

      if (each->initial == NULL)
        config_value_clear (each, settings);
      else if (!config_value_set (each, settings, each->initial, &error))
        g_error ("the default of [%s]: %s", each->group, error->message);
    }
}

/**
 * guest_config_new:
 *
 * Returns: (transfer full): settings of a guest, with their defaults and no monitor
 */
GuestConfig *
guest_config_new (void)
{
  GuestConfig *self = g_new0 (GuestConfig, 1);

  self->image_refs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  apply_defaults (TRUE, self);

  return self;
}

/**
 * guest_config_copy:
 * @self: settings of a guest
 *
 * Returns: (transfer full): a copy that shares nothing with @self
 */
GuestConfig *
guest_config_copy (const GuestConfig *self)
{
  GuestConfig *copy = g_new0 (GuestConfig, 1);
  GHashTableIter iter;
  gpointer disk, image;

  copy->id = g_strdup (self->id);

  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      if (g_str_equal (each->group, "guest"))
        config_value_copy (each, self, copy);
    }

  copy->image_refs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_iter_init (&iter, self->image_refs);

  while (g_hash_table_iter_next (&iter, &disk, &image))
    g_hash_table_insert (copy->image_refs, g_strdup (disk), g_strdup (image));

  return copy;
}

static void
clear_keys (gboolean is_guest,
            gpointer settings)
{
  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      if (g_str_equal (each->group, "guest") == is_guest)
        config_value_clear (each, settings);
    }
}

/**
 * guest_config_free:
 * @self: (transfer full): settings of a guest
 */
void
guest_config_free (GuestConfig *self)
{
  clear_keys (TRUE, self);
  g_hash_table_unref (self->image_refs);
  g_free (self->id);
  g_free (self);
}

/**
 * config_ref:
 * @self: the settings
 *
 * Returns: (transfer full): the same, which hold until config_unref()
 */
Config *
config_ref (const Config *self)
{
  return g_atomic_rc_box_acquire ((Config *) self);
}

static void
config_clear (gpointer data)
{
  Config *self = data;

  clear_keys (FALSE, self);
  g_ptr_array_unref (self->guests);
}

/**
 * config_unref:
 * @self: (transfer full): the settings
 */
void
config_unref (Config *self)
{
  g_atomic_rc_box_release_full (self, config_clear);
}

static gboolean
set_image_ref (GuestConfig  *guest,
               const char   *key,
               const char   *value,
               GError      **error)
{
  const char *disk = key[strlen (IMAGE_REF)] == '.' ? key + strlen (IMAGE_REF) + 1 : "*";

  if (*disk == '\0' || *value == '\0')
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s = %s: the id of an image is wanted, for " IMAGE_REF " or " IMAGE_REF
                       ".DISK", key, value);
      return FALSE;
    }

  g_hash_table_replace (guest->image_refs, g_strdup (disk), g_strdup (value));

  return TRUE;
}

static gboolean
set_key (Reader      *reader,
         const char  *group,
         const char  *key,
         const char  *value,
         GError     **error)
{
  gboolean is_guest = reader->guest != NULL;
  const ConfigKey *found = find_key (is_guest ? "guest" : group, key);
  g_autofree char *keys = NULL;

  if (found != NULL)
    return config_value_set (found, is_guest ? (gpointer) reader->guest : reader->config, value,
                             error);

  if (is_guest && (g_str_equal (key, IMAGE_REF) || g_str_has_prefix (key, IMAGE_REF ".")))
    return set_image_ref (reader->guest, key, value, error);

  keys = list_keys (is_guest ? "guest" : group);
  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "[%s] has no key '%s'; it has: %s", group, key,
                   keys);

  return FALSE;
}

static gboolean
begin_guest (Reader      *reader,
             const char  *where,
             const char  *name,
             GError     **error)
{
  for (guint i = 0; i < reader->config->guests->len; i++)
    {
      GuestConfig *other = g_ptr_array_index (reader->config->guests, i);

      if (g_str_equal (other->id, name))
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "[guest %s] is there a second time, first at %s", name,
                           (char *) g_ptr_array_index (reader->guest_lines, i));
          return FALSE;
        }
    }

  reader->guest = guest_config_new ();
  reader->guest->id = g_strdup (name);
  g_ptr_array_add (reader->config->guests, reader->guest);
  g_ptr_array_add (reader->guest_lines, g_strdup (where));

  return TRUE;
}

static gboolean
begin_group (Reader      *reader,
             const char  *where,
             const char  *group,
             GError     **error)
{
  g_autofree char *groups = NULL;
  g_autofree char *keys = list_keys (group);

  reader->guest = NULL;

  if (g_str_has_prefix (group, "guest "))
    {
      g_autofree char *name = g_strstrip (g_strdup (group + strlen ("guest ")));

      return begin_guest (reader, where, name, error);
    }

  if (!g_str_equal (group, "guest") && *keys != '\0')
    return TRUE;

  groups = list_groups ();
  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "there is no group [%s]; there are: %s", group,
                   groups);

  return FALSE;
}

static gboolean
take_line (const char  *where,
           const char  *group,
           const char  *key,
           const char  *value,
           gpointer     user_data,
           GError     **error)
{
  Reader *reader = user_data;
  gboolean ok;

  if (key == NULL)
    ok = begin_group (reader, where, group, error);
  else
    ok = set_key (reader, group, key, value, error);

  if (!ok)
    {
      g_prefix_error (error, "%s: ", where);
      return FALSE;
    }

  if (key != NULL && reader->guest == NULL)
    g_hash_table_replace (reader->lines, g_strdup_printf ("%s.%s", group, key), g_strdup (where));

  return TRUE;
}

static gboolean
take_override (Reader      *reader,
               const char  *override,
               GError     **error)
{
  g_autofree char *where = g_strdup_printf ("option %s", override);
  g_autofree char *text = g_strdup (override);
  char *dot = strchr (text, '.');
  char *equals = dot != NULL ? strchr (dot, '=') : NULL;

  if (equals == NULL || g_str_has_prefix (text, "guest "))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "guests are described in the file",
                       "%s: wanted is group.key=value", where);
      return FALSE;
    }

  *dot = '\0';
  *equals = '\0';

  return take_line (where, text, NULL, NULL, reader, error) &&
         take_line (where, text, dot + 1, equals + 1, reader, error);
}

static const char *
find_line (Reader     *reader,
           const char *key)
{
  return g_hash_table_lookup (reader->lines, key);
}

/* What no line says alone. */
static gboolean
check_together (Reader  *reader,
                GError **error)
{
  Config *config = reader->config;
  gboolean is_glance = g_strcmp0 (config->store, "glance") == 0;

  for (guint i = 0; i < config->guests->len; i++)
    {
      GuestConfig *guest = g_ptr_array_index (config->guests, i);

      if (guest->monitor == NULL)
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s: [guest %s] needs a 'monitor'",
                           (char *) g_ptr_array_index (reader->guest_lines, i), guest->id);
          return FALSE;
        }
    }

  if (config->listen != NULL && config->token_file == NULL
      && !(is_glance && config->glance_cloud != NULL))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s: [rest] listen needs a 'token-file', or the store 'glance' with a "
                       "'cloud' whose users are let in, so that not everybody on the network is",
                       find_line (reader, "rest.listen"));
      return FALSE;
    }

  if (is_glance && config->glance_url == NULL && config->glance_cloud == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s: the store 'glance' needs a 'url' or a 'cloud' in [glance]",
                       find_line (reader, "store.kind"));
      return FALSE;
    }

  if (config->glance_cloud != NULL && config->glance_token_file != NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s: [glance] has both a 'cloud' and a 'token-file': take one, for a cloud "
                       "has tokens of its own", find_line (reader, "glance.token-file"));
      return FALSE;
    }

  if (config->glance_clouds_file != NULL && config->glance_cloud == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s: [glance] has a 'clouds-file', but no 'cloud': name the one in it",
                       find_line (reader, "glance.clouds-file"));
      return FALSE;
    }

  return TRUE;
}

/**
 * config_load:
 * @path: (nullable): a key file; %NULL for the defaults alone
 * @overrides: (nullable) (array zero-terminated=1): "group.key=value" each, over what the file says
 * @error: return location
 *
 * Reads the daemon's settings. What is not known, or not sensible, is refused, with the file, the
 * line and what would be right.
 *
 * Returns: (transfer full): the settings; %NULL with AGENT_ERROR_INVALID, or with what kept the
 *   file from being read
 */
Config *
config_load (const char         *path,
             const char *const  *overrides,
             GError            **error)
{
  g_autoptr (Config) config = g_atomic_rc_box_new0 (Config);
  g_autoptr (GPtrArray) guest_lines = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) lines = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Reader reader = { config, NULL, guest_lines, lines };
  gboolean ok;

  config->guests = g_ptr_array_new_with_free_func ((GDestroyNotify) guest_config_free);
  apply_defaults (FALSE, config);

  ok = path == NULL || config_file_read (path, take_line, &reader, error);

  for (guint i = 0; ok && overrides != NULL && overrides[i] != NULL; i++)
    ok = take_override (&reader, overrides[i], error);

  ok = ok && check_together (&reader, error);

  return ok ? g_steal_pointer (&config) : NULL;
}
