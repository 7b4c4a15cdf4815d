/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A guest agent behind a listening socket, in the main loop of the test. It lives longer than a
 * link, as one in a guest does: what it did stays done, and what it answers late reaches whoever
 * comes next. */

typedef struct _PeerAgent PeerAgent;

PeerAgent          *peer_agent_new          (const char *path);
void                peer_agent_free         (PeerAgent  *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeerAgent, peer_agent_free)

GSocketConnectable *peer_agent_get_address  (PeerAgent  *self);   /* (transfer none) */

/* Reads, and neither does nor answers anything. */
void                peer_agent_set_silent   (PeerAgent  *self, gboolean silent);
/* Does the next @command, and answers it only once somebody else has connected. */
void                peer_agent_answer_late  (PeerAgent  *self, const char *command);
/* Answers every @command with @answer: the JSON members of the whole answer. */
void                peer_agent_answer_with  (PeerAgent  *self, const char *command,
                                             const char *answer);
/* Sends these bytes to whoever comes next, before anything else. */
void                peer_agent_leave        (PeerAgent  *self, const char *bytes);
void                peer_agent_hang_up      (PeerAgent  *self);

gboolean            peer_agent_is_frozen    (PeerAgent  *self);
/* How often @command was done. */
guint               peer_agent_count        (PeerAgent  *self, const char *command);

G_END_DECLS
