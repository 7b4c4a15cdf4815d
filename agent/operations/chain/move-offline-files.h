/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "move.h"

G_BEGIN_DECLS

/* What of a move without QEMU is done to files beside copying. All of it blocks. */

typedef struct
{
  gboolean done;                /* chain and names are as they are to be */
  char    *base;                /* of a commit: how the chain calls the file that takes the data */
  gint64   upper_mtime_ns;      /* of the uppermost file, which a commit reads only */
} OfflineFacts;

void     offline_facts_clear    (OfflineFacts *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (OfflineFacts, offline_facts_clear)

/* How far the move has come, by headers and names. AGENT_ERROR CONFLICT when the chain is neither
 * as planned nor as it is to be, or has what cannot be moved. */
gboolean offline_look           (const ChainMove *move, OfflineFacts *facts,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What was copied is durable. */
gboolean offline_settle_data    (const ChainMove *move, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The header that was rewritten is durable, and says what it is to say. */
gboolean offline_settle_header  (const ChainMove *move, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* After a commit of the top: the disk is started from the file that took the data. *@again (out):
 * somebody has written to the top since @facts; it has to be committed once more. */
gboolean offline_publish        (const ChainMove *move, const OfflineFacts *facts, gboolean *again,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
