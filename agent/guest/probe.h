/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/guest.h>

G_BEGIN_DECLS

/* How long connecting, and each command, may take. */
#define GUEST_COMMAND_MS 5000

/* Everything that is asked before a guest is said to be attached. */
typedef struct
{
  QmpClient   *client;
  QmpListener *listener;        /* for all events, opened before the first command */
  QmpFeatures *features;
  GuestKind    kind;
  char        *uuid;            /* (nullable): lower case; QEMU's all zeros are none */
  char        *name;            /* (nullable) */
  char        *run_state;       /* (nullable) */
  gboolean     run_state_stale; /* something has happened since it was asked */
  gulong       event_handler;
} GuestProbe;

void        guest_probe_free   (GuestProbe *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestProbe, guest_probe_free)

void        guest_probe_async  (GSocketConnectable   *address,
                                QmpFeatureCache      *cache,
                                GCancellable         *cancellable,
                                GAsyncReadyCallback   callback,
                                gpointer              user_data);
GuestProbe *guest_probe_finish (GAsyncResult         *result,
                                GError              **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether what @event tells of can change what query-status says. */
gboolean    guest_event_moves_run_state (const QmpEvent *event);
char       *guest_read_run_state        (JsonNode *reply, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
