/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* @text with all that a terminal would act upon, or not show, escaped. NULL becomes "-". */
char  *text_escape   (const char *text);
/* Columns that @text takes on a terminal. */
guint  text_width    (const char *text);

char  *text_size     (gint64 bytes);            /* "1.5 GiB"; "-" below 0 */
char  *text_duration (gint64 seconds);          /* "2 min 5 s" */
char  *text_milliseconds (gint64 microseconds);         /* "12.3 ms" */
char  *text_time     (const char *time);        /* the daemon's, to the second; NULL becomes "-" */

/* Of the terminal at @fd; 0 where there is none, or where it does not say. */
guint    text_columns (int fd);
/* Whether the terminal can show more than ASCII. */
gboolean text_is_utf8 (void);

G_END_DECLS
