/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <guest/guest.h>

G_BEGIN_DECLS

/* A folder for one test, gone after it. */
typedef struct
{
  char *path;
} Folder;

Folder     *folder_new    (void);
void        folder_free   (Folder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Folder, folder_free)
char       *folder_file   (Folder *self, const char *name);

/* Runs the main loop until @done says so; fatal, naming @what, after @deadline_ms. */
typedef gboolean (*Condition) (gpointer user_data);
void        run_until     (Condition done, gpointer user_data, guint deadline_ms, const char *what);
/* Runs the main loop for a while in which something must not happen. */
void        run_for       (guint ms);

void        await_state   (Guest *guest, GuestState state);
void        await_result  (GAsyncResult **result);
/* Stores the result in the GAsyncResult * that @user_data points to. */
void        keep_result   (GObject *source, GAsyncResult *result, gpointer user_data);

GuestConfig *config_for   (const char *id, const char *monitor);

/* A process that ends with the test. */
GSubprocess *spawn        (const char *const *argv);
void         kill_and_wait (GSubprocess *process);
/* Starts a QEMU that runs no guest, or a storage daemon; NULL when it is not installed, and the
 * test is skipped. */
GSubprocess *spawn_qemu   (const char *socket, const char *name, const char *uuid);
GSubprocess *spawn_daemon (const char *socket);
/* The same on 127.0.0.1. */
GSubprocess *spawn_daemon_tcp (guint16 port);

G_END_DECLS
