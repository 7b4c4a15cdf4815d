/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/store.h>

G_BEGIN_DECLS

/* The kinds of stores, each as the configuration describes it. */
ImageStore  *folder_store_new          (const char *folder, guint transfers, GError **error)
                                        G_GNUC_WARN_UNUSED_RESULT;

/* Where Glance is, and who we are to it: an address with or without a token, or a cloud. */
typedef struct
{
  const char *url;              /* (nullable) with @cloud: what the catalogue says */
  const char *token_file;       /* (nullable): nobody asks who we are */
  const char *cloud;            /* (nullable): an entry of clouds.yaml */
  const char *clouds_file;      /* (nullable): that of OpenStack's own tools */
  const char *ca_file;          /* (nullable): that of the cloud, or the system's */
  guint       timeout_s;        /* without a byte, or an answer */
  guint       deadline_s;       /* of a transfer, with all its attempts */
  guint       transfers;
} GlanceStoreSettings;

ImageStore  *glance_store_new          (const GlanceStoreSettings *settings, GError **error)
                                        G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
