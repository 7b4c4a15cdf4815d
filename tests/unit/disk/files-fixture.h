/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder with a disk in it, for test-files.c and test-files-faults.c. */

#include "scratch.h"

#include <core/error.h>

G_BEGIN_DECLS

typedef struct
{
  char     *folder;
  char     *disk;               /* a file, and its other names to be */
  char     *layer;
  char     *overlay;
  FileFacts facts;              /* of disk */
  GError   *error;
} Fixture;

void      fixture_set_up    (Fixture *self, gconstpointer data);
void      fixture_tear_down (Fixture *self, gconstpointer data);

gboolean  link_layer        (Fixture *self) G_GNUC_WARN_UNUSED_RESULT;
/* 1 MiB with data at the beginning, in the middle and at the very end. */
GBytes   *make_contents     (void) G_GNUC_WARN_UNUSED_RESULT;

/* An error says what and where, and forgets nothing of what to do. Takes self->error. */
void      assert_refused    (Fixture *self, gboolean result, AgentError code, const char *words);

#define REFUSED(words, call) assert_refused (self, call, AGENT_ERROR_CONFLICT, words)

#define ADD(path, function, data) \
  g_test_add ("/files/" path, Fixture, data, fixture_set_up, function, fixture_tear_down)

G_END_DECLS
