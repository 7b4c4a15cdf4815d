/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A QMP server that follows a script, in the main loop of the test. Each call below adds a step;
 * steps run in order, each as soon as the one before is done. What the script does not expect ends
 * the test. Commands, arguments and events are checked against the schema of a real QEMU, so that a
 * script cannot speak of what does not exist. */

typedef struct _Peer Peer;

#define PEER_GREETING \
  "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, " \
  "\"package\": \"Debian 1:7.2\"}, \"capabilities\": [\"oob\"]}}\r\n"

/* Connected by a socketpair: take the other end. */
Peer      *peer_new            (void);
/* No schema, no ids: a guest agent. */
Peer      *peer_new_agent      (void);
GIOStream *peer_take_stream    (Peer           *self);   /* (transfer full) */
/* Listens instead, for one client; reads and answers nothing before that. */
Peer      *peer_new_listening  (GSocketAddress *address);
GSocketConnectable *peer_get_address (Peer     *self);   /* (transfer none) */

/* Greets and answers the negotiation of capabilities. */
void       peer_greet          (Peer           *self);
/* Sends bytes as they are. */
void       peer_say            (Peer           *self,
                                const char     *text);
void       peer_say_bytes      (Peer           *self,
                                const void     *bytes,
                                gsize           length);
/* Sends an event. @data: JSON, or NULL for none. */
void       peer_event          (Peer           *self,
                                const char     *name,
                                const char     *data);
/* Awaits a command. @arguments: JSON that must be equal; NULL for anything. */
void       peer_expect         (Peer           *self,
                                const char     *command,
                                const char     *arguments);
/* The same for a command that no QEMU knows. */
void       peer_expect_unknown (Peer           *self,
                                const char     *command);
/* The same for a command that is sent out of band. */
void       peer_expect_oob     (Peer           *self,
                                const char     *command);
/* Answers the last command that was expected before, with @value: JSON. */
void       peer_return         (Peer           *self,
                                const char     *value);
void       peer_refuse         (Peer           *self,
                                const char     *error_class,
                                const char     *description);
/* Answers the n-th command, from 0 and not counting the negotiation; again, when asked to. */
void       peer_return_to      (Peer           *self,
                                guint           nth,
                                const char     *value);
/* Stops here until the test says go; what the client sends meanwhile waits. */
void       peer_hold           (Peer           *self);
void       peer_go             (Peer           *self);
/* Awaits that the client hangs up. */
void       peer_expect_hangup  (Peer           *self);
void       peer_hang_up        (Peer           *self);

/* Runs the main loop until the script is at its end, and checks that nothing was sent beyond it. */
void       peer_finish         (Peer           *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Peer, peer_finish)

G_END_DECLS
