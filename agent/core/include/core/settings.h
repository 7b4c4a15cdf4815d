/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>

G_BEGIN_DECLS

/* The settings that hold now. Whoever needs one asks when it needs it: another time it may be
 * another. */

#define TYPE_SETTINGS (settings_get_type ())
G_DECLARE_FINAL_TYPE (Settings, settings, AGENT, SETTINGS, GObject)

/* Reads the settings again and has everybody take them over; FALSE, with everything as it was. */
typedef gboolean (*SettingsReload) (Settings *self, gpointer user_data, GError **error);

Settings          *settings_new         (const Config *config);
/* (transfer none): until control is back in the main loop; config_ref() it for longer. */
const Config      *settings_get         (Settings *self);

void               settings_set_reload  (Settings *self, SettingsReload reload, gpointer user_data);
gboolean           settings_reload      (Settings *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* For SettingsReload: @config holds from now on; @waiting was asked for and holds after a start. */
void               settings_replace     (Settings *self, const Config *config,
                                         const char *const *waiting);

/* (nullable): why the last reading came to nothing. */
const GError      *settings_get_error   (Settings *self);
/* "group.key" each: what holds after a start only. */
const char *const *settings_get_waiting (Settings *self);

G_END_DECLS
