/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Real QEMUs for tests: started for one test, gone with it. */

#include <qmp/qmp.h>

G_BEGIN_DECLS

/* Longer than anything that works takes. */
#define LIVE_DEADLINE 15000

/* Which QEMUs there are: "installed" (or what QEMU, QSD and QEMU_IMG name) and, with QSNAP_QEMU10
 * set to the root of an unpacked package, "unpacked". */
typedef struct
{
  const char *name;
  char       *system;
  char       *storage_daemon;
  char       *img;
  char       *root;             /* (nullable) */
} LivePrograms;

typedef struct
{
  const LivePrograms *programs;
  GSubprocess        *process;
  char               *folder;   /* where it runs */
  char               *socket;
  QmpClient          *client;
} Live;

const LivePrograms *live_programs       (guint *n);
/* Adds @test for every QEMU; its data is a LivePrograms. */
void       live_add_test    (const char *path, GTestDataFunc test);

/* A folder with a qemu-storage-daemon in it, connected; NULL: the test is skipped. */
Live      *live_storage     (const LivePrograms *programs);
/* The same with a system emulator that runs no guest; @arguments: further ones, by words. The
 * folder may be filled between the two calls. */
Live      *live_folder      (const LivePrograms *programs);
void       live_system      (Live *self, const char *arguments);
void       live_stop        (Live *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Live, live_stop)

/* Runs qemu-img in the folder; @arguments by words. */
void       live_img         (Live *self, const char *arguments);

/* Makes a command of @format (JSON with ' for ") and returns the answer, which must be good. */
JsonNode  *live_do          (Live *self, const char *command, const char *format, ...)
                             G_GNUC_PRINTF (3, 4);
void       live_run         (Live *self, const char *command, const char *format, ...)
                             G_GNUC_PRINTF (3, 4);
QmpClient *live_connect     (const char *path);

QmpGraph  *live_graph       (Live *self, GError **error);
gboolean   live_await       (QmpJob *job, QmpJobState state, guint deadline_ms, GError **error);

G_END_DECLS
