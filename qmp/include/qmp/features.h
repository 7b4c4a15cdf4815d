/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

G_BEGIN_DECLS

/* What one QEMU binary can do, from query-qmp-schema: branch on this, never on a version number. */

#define QMP_TYPE_FEATURES (qmp_features_get_type ())
G_DECLARE_FINAL_TYPE (QmpFeatures, qmp_features, QMP, FEATURES, GObject)

/* Remembers the schema (about 200 kB of JSON) of each QEMU binary it has met. */
#define QMP_TYPE_FEATURE_CACHE (qmp_feature_cache_get_type ())
G_DECLARE_FINAL_TYPE (QmpFeatureCache, qmp_feature_cache, QMP, FEATURE_CACHE, GObject)

QmpFeatureCache *qmp_feature_cache_new           (void);
void             qmp_feature_cache_lookup_async  (QmpFeatureCache *self, QmpClient *client,
                                                  guint deadline_ms, GCancellable *cancellable,
                                                  GAsyncReadyCallback callback, gpointer user_data);
QmpFeatures     *qmp_feature_cache_lookup_finish (QmpFeatureCache *self, GAsyncResult *result,
                                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

QmpFeatures     *qmp_features_parse              (JsonNode *schema, GError **error)
                                                  G_GNUC_WARN_UNUSED_RESULT;
gboolean         qmp_features_has_command        (QmpFeatures *self, const char *command);
gboolean         qmp_features_has_event          (QmpFeatures *self, const char *event);
/* @path: member names below the command's arguments, separated by '/', through nested objects,
 * arrays and variants: "blockdev-add", "discard". */
gboolean         qmp_features_has_argument       (QmpFeatures *self, const char *command,
                                                  const char *path);
/* Whether the enumeration that @path of @command's arguments takes has @value. */
gboolean         qmp_features_has_value          (QmpFeatures *self, const char *command,
                                                  const char *path, const char *value);
/* Whether the schema puts @flag ("deprecated", "unstable", ...) on @command or its argument. */
gboolean         qmp_features_has_flag           (QmpFeatures *self, const char *command,
                                                  const char *path, const char *flag);

G_END_DECLS
