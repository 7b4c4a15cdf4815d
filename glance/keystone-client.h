/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/keystone.h>

#include "http.h"
#include "keystone-session.h"

/* What is asked of Keystone; nothing is remembered but where its version 3 is. From any thread. */

typedef struct _KeystoneClient KeystoneClient;

KeystoneClient  *keystone_client_new          (const GlanceCloud *cloud,
                                               const GlanceSettings *settings);
void             keystone_client_free         (KeystoneClient *self);

/* Microseconds: no request takes longer, with all its repetitions. */
gint64           keystone_client_get_patience (KeystoneClient *self);

KeystoneSession *keystone_client_authenticate (KeystoneClient *self, GCancellable *cancellable,
                                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @left_us: for how long it still is. */
GlanceUser      *keystone_client_identify     (KeystoneClient *self, const char *token,
                                               gint64 *left_us, GCancellable *cancellable,
                                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
