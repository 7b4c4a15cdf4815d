/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <glance/clouds.h>
#include <glance/images.h>
#include <glance/token.h>

G_BEGIN_DECLS

/* The identity service: who we are by it, where the image service is, and who others are. All calls
 * block and may come from any thread, several at once; a cancellable ends them at any moment. It is
 * a GlanceToken: its token is renewed before it ends, and when it is refused. */

#define GLANCE_TYPE_KEYSTONE (glance_keystone_get_type ())
G_DECLARE_FINAL_TYPE (GlanceKeystone, glance_keystone, GLANCE, KEYSTONE, GObject)

/* Whose a token is. Plain data. */
typedef struct
{
  char    *user_id;
  char    *project_id;          /* (nullable): for no project */
  char   **roles;               /* names */
  gboolean is_ours;             /* of the project that we are in */
} GlanceUser;

GlanceUser     *glance_user_copy         (const GlanceUser *self);
void            glance_user_free         (GlanceUser *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GlanceUser, glance_user_free)

/* @cloud: (transfer full). Of @settings only the times count, and ca_file where the cloud names
 * none. */
GlanceKeystone *glance_keystone_new      (GlanceCloud *cloud, const GlanceSettings *settings);

/* Who we are. */
GlanceUser     *glance_keystone_get_self (GlanceKeystone *self, GCancellable *cancellable,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What is remembered of @token, which is known without waiting: FALSE when it is nothing. Else
 * either @user or @error is set, as glance_keystone_identify() would. */
gboolean        glance_keystone_recall   (GlanceKeystone *self, const char *token,
                                          GlanceUser **user, GError **error)
                                          G_GNUC_WARN_UNUSED_RESULT;

/* Whose @token is: GLANCE_ERROR_UNAUTHORIZED when it is nobody's. Remembered for a minute. */
GlanceUser     *glance_keystone_identify (GlanceKeystone *self, const char *token,
                                          GCancellable *cancellable, GError **error)
                                          G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
