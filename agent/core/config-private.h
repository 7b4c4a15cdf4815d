/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>

G_BEGIN_DECLS

typedef enum
{
  CONFIG_TEXT,                  /* anything */
  CONFIG_PATH,                  /* an absolute path */
  CONFIG_ADDRESS,               /* HOST:PORT */
  CONFIG_MONITOR,               /* an absolute path, or HOST:PORT */
  CONFIG_URL,                   /* http:// or https:// */
  CONFIG_WORD,                  /* one of those allowed */
  CONFIG_UUID,
  CONFIG_BOOLEAN,
  CONFIG_COUNT,                 /* guint */
  CONFIG_OPTIONAL_COUNT,        /* gint, -1 while it is not set */
  CONFIG_SECONDS,               /* guint, written as "10s", "500ms", "2min" or a number alone */
  CONFIG_MILLISECONDS,
  CONFIG_BYTES,                 /* guint64, written as "512MiB", "1GiB" or a number alone */
  CONFIG_PATHS,                 /* GStrv, parted by ; */
} ConfigType;

/* One setting. An empty value means "not set" for those whose @initial is NULL. */
typedef struct
{
  const char *group;
  const char *key;
  ConfigType  type;
  gsize       offset;           /* in Config, or in GuestConfig for the group "guest" */
  const char *initial;          /* (nullable): as it would be written in the file */
  guint       least;            /* for numbers */
  guint       most;
  const char *words;            /* for CONFIG_WORD, parted by blanks */
} ConfigKey;

extern const ConfigKey config_keys[];           /* ended by one without a group */

/* Puts @text, as it stands in the file, into the field of @settings. */
gboolean config_value_set   (const ConfigKey *key, gpointer settings, const char *text,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
void     config_value_clear (const ConfigKey *key, gpointer settings);
void     config_value_copy  (const ConfigKey *key, gconstpointer from, gpointer to);
gboolean config_value_equal (const ConfigKey *key, gconstpointer a, gconstpointer b);

/* Calls @func for each "key = value" and, with @key NULL, for each "[group]"; @where is
 * "FILE:LINE". */
typedef gboolean (*ConfigLineFunc) (const char *where, const char *group, const char *key,
                                    const char *value, gpointer user_data, GError **error);

gboolean config_file_read   (const char *path, ConfigLineFunc func, gpointer user_data,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
