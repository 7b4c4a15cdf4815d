/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What each fuzzer has: libFuzzer calls it where clang built it, corpus.c else. It must come back
 * from any bytes, with everything freed and no error unsaid. */
int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* An error was given where, and only where, there is no result; and it says something. */
#define fuzz_check_told(result, error) \
  g_assert_true (((result) != NULL) == ((error) == NULL) \
                 && ((error) == NULL || *(error)->message != '\0'))

G_END_DECLS
