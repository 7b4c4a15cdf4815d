/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Rows of cells, in columns as wide as their widest cell. */
typedef struct _Table Table;

/* Columns' titles, ended by NULL; a column of figures begins with '>' and is set to the right. */
Table *table_new   (const char *first, ...) G_GNUC_NULL_TERMINATED;
void   table_free  (Table *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Table, table_free)

/* @cell: (transfer full) (nullable): any text: it is escaped */
void   table_take  (Table *self, char *cell);
void   table_add   (Table *self, const char *cell);
void   table_print (Table *self);

G_END_DECLS
