/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "strict-json.h"

G_BEGIN_DECLS

/* Where a reader stands; shared by the two files that read. */
typedef struct
{
  const char *start;
  const char *at;
  const char *end;
  guint       depth;
  guint       values;
  GString    *scratch;          /* for strings that need decoding; made on first use */
  const char *problem;          /* what is wrong at @at; a constant */
} QmpJsonReader;

G_GNUC_INTERNAL
gboolean qmp_json_reader_fail        (QmpJsonReader *reader,
                                      const char    *problem);

/* Reads a string from its opening quote on; @raw is what stands between the quotes. What has
 * escapes is decoded into @decoded (nullable); FALSE in @escaped says that @raw is the string. */
G_GNUC_INTERNAL
gboolean qmp_json_reader_read_string (QmpJsonReader *reader,
                                      QmpSpan       *raw,
                                      GString       *decoded,
                                      gboolean      *escaped);

G_END_DECLS
