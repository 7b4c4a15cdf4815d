/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which settings hold now, and what came of reading them again. */

#include <core/settings.h>

#include <core/error.h>

struct _Settings
{
  GObject         parent_instance;

  Config         *config;
  char          **waiting;
  GError         *error;

  SettingsReload  reload;
  gpointer        user_data;
};

G_DEFINE_TYPE (Settings, settings, G_TYPE_OBJECT)

/**
 * settings_new:
 * @config: the settings to begin with
 *
 * Returns: (transfer full): the holder of what holds
 */
Settings *
settings_new (const Config *config)
{
  Settings *self = g_object_new (TYPE_SETTINGS, NULL);

  self->config = config_ref (config);

  return self;
}

/**
 * settings_get:
 * @self: the settings
 *
 * Returns: (transfer none): what holds now
 */
const Config *
settings_get (Settings *self)
{
  return self->config;
}

/**
 * settings_set_reload:
 * @self: the settings
 * @reload: (nullable): reads them again; it calls settings_replace() when nothing can fail any more
 * @user_data: for @reload
 */
void
settings_set_reload (Settings       *self,
                     SettingsReload  reload,
                     gpointer        user_data)
{
  self->reload = reload;
  self->user_data = user_data;
}

/**
 * settings_reload:
 * @self: the settings
 * @error: return location
 *
 * Reads the settings again.
 *
 * Returns: %FALSE, with everything as it was, with AGENT_ERROR_INVALID for settings that cannot
 *   hold, another error of reading them, or AGENT_ERROR_UNAVAILABLE while the daemon comes or goes
 */
gboolean
settings_reload (Settings  *self,
                 GError   **error)
{
  g_autoptr (GError) failure = NULL;

  if (self->reload == NULL)
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "Ask again in a moment.",
                       "the daemon is coming up or going down");
      return FALSE;
    }

  g_clear_error (&self->error);
  if (self->reload (self, self->user_data, &failure))
    return TRUE;

  self->error = agent_error_adopt (g_steal_pointer (&failure));
  if (error != NULL)
    *error = g_error_copy (self->error);

  return FALSE;
}

/**
 * settings_replace:
 * @self: the settings
 * @config: what holds from now on
 * @waiting: (array zero-terminated=1): "group.key" of what was asked for and needs a start
 */
void
settings_replace (Settings          *self,
                  const Config      *config,
                  const char *const *waiting)
{
  g_autoptr (Config) old = g_steal_pointer (&self->config);

  self->config = config_ref (config);
  g_strfreev (self->waiting);
  self->waiting = g_strdupv ((char **) waiting);
}

/**
 * settings_get_error:
 * @self: the settings
 *
 * Returns: (transfer none) (nullable): why the last reading came to nothing; %NULL when it did not
 */
const GError *
settings_get_error (Settings *self)
{
  return self->error;
}

/**
 * settings_get_waiting:
 * @self: the settings
 *
 * Returns: (transfer none) (array zero-terminated=1): "group.key" of what holds after a start only
 */
const char *const *
settings_get_waiting (Settings *self)
{
  return (const char *const *) self->waiting;
}

static void
settings_finalize (GObject *object)
{
  Settings *self = AGENT_SETTINGS (object);

  g_clear_pointer (&self->config, config_unref);
  g_clear_pointer (&self->waiting, g_strfreev);
  g_clear_error (&self->error);

  G_OBJECT_CLASS (settings_parent_class)->finalize (object);
}

static void
settings_class_init (SettingsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = settings_finalize;
}

static void
settings_init (Settings *self)
{
  self->waiting = g_new0 (char *, 1);
}
