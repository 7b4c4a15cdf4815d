/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A folder of the test's own, and its end with all that is in it. */
char     *folder_new    (void);
void      folder_remove (const char *folder);

/* Lets the main loop run until @check says so; the test fails when that takes more than 30 s. */
typedef gboolean (*LoopCheck) (gpointer user_data);
void      loop_until    (LoopCheck check, gpointer user_data);

#define assert_error_says(error, code_, text)                                                   \
  G_STMT_START                                                                                  \
    {                                                                                           \
      g_assert_error (error, AGENT_ERROR, code_);                                               \
      if (strstr ((error)->message, text) == NULL)                                              \
        g_error ("\"%s\" does not say \"%s\"", (error)->message, text);                         \
    }                                                                                           \
  G_STMT_END

G_END_DECLS
