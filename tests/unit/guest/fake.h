/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A monitor or guest agent on a Unix socket that can be met again and again, in the main loop of
 * the test, and behaves as the test wants. For talks that follow a script there is tests/peer. */

typedef enum
{
  FAKE_WELL,
  FAKE_SILENT,                  /* takes the link and says nothing */
  FAKE_DROP,                    /* hangs up at once */
  FAKE_GREET_DROP,              /* greets, then hangs up */
  FAKE_GARBAGE,                 /* speaks another protocol */
} FakeMode;

typedef struct
{
  gboolean        is_agent;
  FakeMode        mode;

  /* What a monitor says. */
  const char     *uuid;
  const char     *name;
  const char     *status;
  const char     *next_status;  /* (nullable): after the next answer, with an event before it */
  gboolean        storage_daemon;

  /* What an agent does. */
  gboolean        frozen;
  gboolean        thaws_alone;  /* right after a freeze; a thaw says nothing of it */
  const char     *silent_on;    /* (nullable): a command that gets no answer */
  const char     *refuses;      /* (nullable): a command that is refused */
  guint           refusals;     /* how often; 0 for ever */

  GString        *heard;        /* the commands, each with a space behind it */
  guint           n_links;
  gint64          last_link_us;

  char           *path;
  GSocketService *service;
  GPtrArray      *links;        /* of GIOStream */
} Fake;

Fake    *fake_new_monitor (const char *path);
Fake    *fake_new_agent   (const char *path);
void     fake_free        (Fake *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fake, fake_free)

/* Sends a line to whoever is connected. */
void     fake_say         (Fake *self, const char *line);
void     fake_hang_up     (Fake *self);
/* Listens no more, and leaves the socket's file as a killed process does. */
void     fake_die         (Fake *self);
guint    fake_count       (Fake *self, const char *command);

G_END_DECLS
