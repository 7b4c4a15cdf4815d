/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what is another in settings that were read again, and what of it can hold at once. */

#include "config-private.h"

/* What a daemon has taken hold of when it started, and keeps until it ends. */
static const char *const fixed[] = {
  "daemon.state", "rest.socket", "rest.group", "rest.listen", "store.kind", "store.folder", NULL
};

/* What goes with one of them: a daemon that goes on with its store, or its address, needs what
 * belongs to it, whatever the other one needs. */
static const struct
{
  const char *prefix;
  const char *fixed;
} companions[] = {
  { "rest.token-file", "rest.listen" },
  { "glance.",         "store.kind"  },
};

static char *
name_of (const ConfigKey *key)
{
  return g_strdup_printf ("%s.%s", key->group, key->key);
}

static gboolean
is_of_guests (const ConfigKey *key)
{
  return g_str_equal (key->group, "guest");
}

static gboolean
image_refs_equal (GHashTable *a,
                  GHashTable *b)
{
  GHashTableIter iter;
  gpointer disk, image;

  if (g_hash_table_size (a) != g_hash_table_size (b))
    return FALSE;

  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &disk, &image))
    if (g_strcmp0 (g_hash_table_lookup (b, disk), image) != 0)
      return FALSE;

  return TRUE;
}

/**
 * guest_config_equal:
 * @a: settings of a guest
 * @b: settings of a guest
 *
 * Returns: whether they say the same
 */
gboolean
guest_config_equal (const GuestConfig *a,
                    const GuestConfig *b)
{
  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    if (is_of_guests (each) && !config_value_equal (each, a, b))
      return FALSE;

  return g_strcmp0 (a->id, b->id) == 0 && image_refs_equal (a->image_refs, b->image_refs);
}

static const GuestConfig *
find_guest (const Config *config,
            const char   *id)
{
  for (guint i = 0; i < config->guests->len; i++)
    {
      const GuestConfig *guest = g_ptr_array_index (config->guests, i);

      if (g_str_equal (guest->id, id))
        return guest;
    }

  return NULL;
}

/* Those of @config that @other does not have, or has otherwise when @changed. */
static void
add_guests (GStrvBuilder *names,
            const Config *config,
            const Config *other,
            gboolean      changed)
{
  for (guint i = 0; i < config->guests->len; i++)
    {
      const GuestConfig *guest = g_ptr_array_index (config->guests, i);
      const GuestConfig *twin = find_guest (other, guest->id);
      g_autofree char *name = g_strdup_printf ("guest %s", guest->id);

      if (twin == NULL || (changed && !guest_config_equal (guest, twin)))
        g_strv_builder_add (names, name);
    }
}

/**
 * config_list_changes:
 * @before: the settings that hold
 * @after: those that are to
 *
 * Returns: (transfer full): what differs, in the order of the table: "group.key", then "guest NAME"
 *   for those that have come or changed, then for those that have gone
 */
char **
config_list_changes (const Config *before,
                     const Config *after)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      g_autofree char *name = name_of (each);

      if (!is_of_guests (each) && !config_value_equal (each, before, after))
        g_strv_builder_add (names, name);
    }

  add_guests (names, after, before, TRUE);
  add_guests (names, before, after, FALSE);

  return g_strv_builder_end (names);
}

static gboolean
is_changed (const char   *name,
            const Config *before,
            const Config *after)
{
  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      g_autofree char *this_one = name_of (each);

      if (g_str_equal (this_one, name))
        return !config_value_equal (each, before, after);
    }

  g_assert_not_reached ();
}

/* (transfer container): beginnings of the names of all that has to stay. */
static GPtrArray *
list_prefixes (const Config *before,
               const Config *after)
{
  GPtrArray *prefixes = g_ptr_array_new ();

  for (guint i = 0; fixed[i] != NULL; i++)
    g_ptr_array_add (prefixes, (gpointer) fixed[i]);
  for (guint i = 0; i < G_N_ELEMENTS (companions); i++)
    if (is_changed (companions[i].fixed, before, after))
      g_ptr_array_add (prefixes, (gpointer) companions[i].prefix);

  return prefixes;
}

static gboolean
is_among (GPtrArray  *prefixes,
          const char *name)
{
  for (guint i = 0; i < prefixes->len; i++)
    if (g_str_has_prefix (name, g_ptr_array_index (prefixes, i)))
      return TRUE;

  return FALSE;
}

/**
 * config_keep_fixed:
 * @after: settings that were read again, and that nobody else has yet
 * @before: those that hold
 *
 * Puts the settings that only a start can change back to what they are in @before, with what
 * belongs to them.
 *
 * Returns: (transfer full): which of them @after has otherwise, "group.key" each
 */
char **
config_keep_fixed (Config       *after,
                   const Config *before)
{
  g_autoptr (GPtrArray) prefixes = list_prefixes (before, after);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (const ConfigKey *each = config_keys; each->group != NULL; each++)
    {
      g_autofree char *name = name_of (each);

      if (is_of_guests (each) || !is_among (prefixes, name)
          || config_value_equal (each, before, after))
        continue;

      g_strv_builder_add (names, name);
      config_value_clear (each, after);
      config_value_copy (each, before, after);
    }

  return g_strv_builder_end (names);
}
