/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fake.h"
#include "support.h"

#include <guest/registry.h>

G_BEGIN_DECLS

#define UUID_A "11111111-2222-3333-4444-555555555555"
#define UUID_B "99999999-2222-3333-4444-555555555555"

/* A registry with its journal in a folder of its own. */
typedef struct
{
  Folder        *folder;
  Journal       *journal;
  GuestRegistry *registry;
  Config         config;
  guint          changes;
} RegistryFixture;

void     registry_set_up      (RegistryFixture *fixture, gconstpointer data);
void     registry_tear_down   (RegistryFixture *fixture, gconstpointer data);

/* Ends one run of the daemon, and begins another. */
void     registry_close       (RegistryFixture *fixture);
void     registry_open        (RegistryFixture *fixture);

/* File names are relative to the folder. */
Fake    *registry_listen      (RegistryFixture *fixture, const char *name);
void     registry_configure   (RegistryFixture *fixture, const char *id, const char *name);
void     registry_watch       (RegistryFixture *fixture, const char *pattern);
void     registry_start       (RegistryFixture *fixture);
Guest   *registry_attach      (RegistryFixture *fixture, const char *id, const char *name,
                               GCancellable *cancellable, GError **error);

guint    registry_count       (RegistryFixture *fixture);
Guest   *registry_await       (RegistryFixture *fixture, const char *name, GuestState state);
void     registry_await_count (RegistryFixture *fixture, guint n);

G_END_DECLS
