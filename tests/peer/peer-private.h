/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

#include "peer.h"

G_BEGIN_DECLS

typedef enum
{
  STEP_SAY,
  STEP_EXPECT,
  STEP_ANSWER,
  STEP_HOLD,
  STEP_EXPECT_HANGUP,
  STEP_HANG_UP,
} PeerStepKind;

typedef struct
{
  PeerStepKind kind;
  GBytes      *bytes;           /* SAY */
  const char  *verb;            /* EXPECT: "execute" or "exec-oob" */
  char        *command;         /* EXPECT */
  JsonNode    *arguments;       /* EXPECT: NULL for anything */
  guint        nth;             /* EXPECT, ANSWER: which command */
  char        *body;            /* ANSWER: the member that is not the id */
} PeerStep;

struct _Peer
{
  gboolean         agent;
  GIOStream       *other_end;   /* until it is taken */
  GSocketListener *listener;
  GSocketAddress  *address;
  GIOStream       *stream;
  GSource         *readable;
  GSource         *writable;
  GQueue           steps;       /* of PeerStep */
  guint            expected;    /* commands in the script so far */
  GPtrArray       *ids;         /* of JsonNode, NULL where a command had none; by command */
  GString         *input;
  GByteArray      *output;
  guint            sent;        /* how much of @output is gone */
  gboolean         client_gone;
  guint            scheduled;   /* source that runs the script */
};

/* The number of qmp_capabilities, which is not counted among the commands. */
#define NEGOTIATION G_MAXUINT

/* Adds a step, to be filled in before the main loop runs. */
PeerStep *peer_add_step (Peer         *self,
                         PeerStepKind  kind);
/* Fatal for what is no JSON. */
JsonNode *peer_parse    (const char   *text);

G_END_DECLS
