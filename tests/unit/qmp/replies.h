/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replies that make a block graph, and what holds for every graph made of them. */

#include <qmp/graph.h>

G_BEGIN_DECLS

/* A captured file: an object with one member per command. */
JsonNode *replies_load         (const char *name);
JsonNode *replies_get          (JsonNode *capture, const char *command);
QmpGraph *replies_parse        (JsonNode *capture, GError **error);

/* Adds a node with the members that QEMU always sends to a list that begins with "[". @more_image
 * and @more: further members, each with a comma in front. */
void      replies_add_node     (GString *text, const char *name, const char *driver,
                                const char *file, const char *more_image, const char *more);
JsonNode *replies_from_text    (const char *text);

gboolean  replies_has_parent   (QmpNode *child, QmpNode *parent);
void      replies_assert_sound (QmpGraph *graph);

G_END_DECLS
